/**
 * What `arca decrypt` does on the folder of a quorum: collects the parties' answers and says who disagreed or is missing.
 */
import { handAnswer, showAnswer } from '../client/answer-file.ts';
import {
  decryptByQuorum,
  decryptForUserByQuorum,
  type QuorumAsk,
  type QuorumResult,
} from '../client/decrypt-quorum.ts';
import { withQuorumAt } from '../client/place.ts';
import type { QuorumSession } from '../client/quorum-session.ts';
import { openUser } from '../client/users.ts';
import { usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import type { DecryptOptions } from './decrypt.ts';

type AnyResult = QuorumResult<Awaited<ReturnType<typeof decryptByQuorum | typeof decryptForUserByQuorum>>['answer']>;

/** `arca decrypt` at a quorum. */
export async function runQuorumDecrypt(ask: QuorumAsk, options: DecryptOptions, output: Output): Promise<void> {
  if (options.signer !== undefined) {
    throw usageFailure('--signer is not for a quorum on --dir', 'its governed record names the signers');
  }
  await withQuorumAt(options, ask.place, async (quorum) => {
    const label = options.forUser ? `decrypt for user ${options.user}` : 'decrypt publicly';
    const progress = output.progress(`${label} at ${quorum.running.length} of ${quorum.parties} parties`);
    let result: AnyResult;
    try {
      result = options.forUser ? await decryptAsUser(quorum, ask, options.user) : await decryptByQuorum(quorum, ask);
      const what = options.forUser ? 'shares of' : 'signed by';
      progress.done(`${what} parties ${result.agreed.join(', ')}`);
    } catch (error) {
      progress.failed();
      throw error;
    }
    for (const line of result.others) output.warn(line);
    await handAnswer(result.answer, options.out, output);
    output.result(
      { ...result.answer, parties: { agreed: result.agreed, others: result.others } },
      showAnswer(result.answer),
    );
  });
}

async function decryptAsUser(quorum: QuorumSession, ask: QuorumAsk, name: string): Promise<AnyResult> {
  const user = await openUser(quorum.dir, name);
  try {
    return await decryptForUserByQuorum(quorum, ask, user);
  } finally {
    user.seed.fill(0);
  }
}
