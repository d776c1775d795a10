/**
 * What `arca decrypt` does.
 */
import type { UserAnswer } from '../client/answer.ts';
import { handAnswer, showAnswer } from '../client/answer-file.ts';
import { readCiphertextFile } from '../client/ciphertext-file.ts';
import { type DecryptionAsk, decryptPublicly } from '../client/decrypt.ts';
import { decryptForUser } from '../client/decrypt-for-user.ts';
import type { DomainOptions } from '../client/domain-options.ts';
import type { PlaceOptions } from '../client/place-options.ts';
import { selectsQuorum } from '../client/quorum-session.ts';
import { readContext } from '../client/request-context.ts';
import { type NodeSelection, refuseParty, type Session, withNode } from '../client/session.ts';
import { fetchNodeAddress } from '../client/signer.ts';
import { openUser } from '../client/users.ts';
import type { Output } from '../framework/output.ts';
import { runQuorumDecrypt } from './decrypt-quorum.ts';

/** What `arca decrypt` is told. */
export interface DecryptOptions extends NodeSelection, DomainOptions, PlaceOptions {
  readonly forUser?: true | undefined;
  readonly user: string;
  readonly signer?: string | undefined;
  readonly out?: string | undefined;
  readonly extraData: string;
}

/** `arca decrypt`. */
export async function runDecrypt(files: readonly string[], options: DecryptOptions, output: Output): Promise<void> {
  const context = readContext(options);
  const items = await Promise.all(files.map(readCiphertextFile));
  if (await selectsQuorum(options)) {
    await runQuorumDecrypt({ ...context, items }, options, output);
    return;
  }
  await refuseParty(options, 'a decryption');
  await withNode(options, async (session) => {
    const signer = options.signer ?? (await fetchNodeAddress(session.publicUrl));
    const ask = { ...context, items, signer };
    const label = options.forUser ? `decrypt for user ${options.user}` : 'decrypt publicly';
    const progress = output.progress(label);
    try {
      const answer = options.forUser
        ? await decryptAsUser(session, ask, options.user)
        : await decryptPublicly(session, ask);
      progress.done(`signed by ${signer}`);
      await handAnswer(answer, options.out, output);
      output.result(answer, showAnswer(answer));
    } catch (error) {
      progress.failed();
      throw error;
    }
  });
}

async function decryptAsUser(session: Session, ask: DecryptionAsk, name: string): Promise<UserAnswer> {
  const user = await openUser(session.dir, name);
  try {
    return await decryptForUser(session, ask, user);
  } finally {
    user.seed.fill(0);
  }
}
