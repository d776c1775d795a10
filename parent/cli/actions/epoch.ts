/**
 * What `arca epoch` does: at all parties of the quorum on `--dir`, or at the one node that is named.
 */

import { isKmsError } from '../../../common/errors.ts';
import { DEFAULT_CONTEXT_ID } from '../../../wire/ids.ts';
import { atAllParties } from '../client/ask-parties.ts';
import { randomId, readId } from '../client/keys.ts';
import { type PartyAdmin, type QuorumAdmin, requireAll, withPartyAdmins } from '../client/quorum-admin.ts';
import type { NodeSelection } from '../client/session.ts';
import { describeParties, readTopology } from '../client/topology.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';

/** `arca epoch list`. */
export async function runEpochList(selection: NodeSelection, output: Output): Promise<void> {
  await withPartyAdmins(selection, async (quorum) => {
    const { epochs, asked, silent } = await readTopology(quorum);
    for (const line of silent) output.warn(line);
    const lines = epochs.map(
      ({ epochId, contextId, parties }) => `${epochId}  context ${contextId}  ${describeParties(parties, asked)}`,
    );
    output.result({ epochs, asked, silent }, lines.length > 0 ? lines.join('\n') : 'none');
  });
}

/** `arca epoch new`. */
export async function runEpochNew(
  options: NodeSelection & { readonly id?: string | undefined; readonly context?: string | undefined },
  output: Output,
): Promise<void> {
  const epochId = options.id === undefined ? randomId() : readId(options.id);
  const contextId = options.context === undefined ? DEFAULT_CONTEXT_ID : readId(options.context);
  await withPartyAdmins(options, async (quorum) => {
    const members = await membersOf(quorum, contextId);
    const progress = output.progress(`set up epoch ${epochId} at ${members.length} parties`);
    const request = { contextId: { requestId: contextId }, epochId: { requestId: epochId } };
    try {
      await atAllParties(members, async ({ call }, signal) => {
        try {
          await call('NewMpcEpoch', request, signal);
        } catch (error) {
          // Under way since an earlier call, which not all parties heard of: now they do.
          if (!isKmsError(error, 'ALREADY_EXISTS')) throw error;
        }
      });
      await atAllParties(members, ({ poll }, signal) => poll('GetEpochResult', { requestId: epochId }, signal));
      const ms = Math.round(progress.done());
      output.result({ epochId, contextId, ms }, epochId);
    } catch (error) {
      progress.failed();
      // What is refused stays refused.
      if (!isKmsError(error, 'REQUEST_INVALID')) output.note(resumeHint(epochId, options.context));
      throw error;
    }
  });
}

/** Returns how to go on with an epoch that was begun: in the context that it was begun in. */
export function resumeHint(epochId: string, context: string | undefined): string {
  const place = context === undefined ? '' : ` --context ${context}`;
  return `to go on with this epoch once the cause is gone: arca epoch new --id ${epochId}${place}`;
}

/**
 * Returns the parties of a context, which all have to take part.
 *
 * @throws {@link KmsError} `NOT_FOUND` for an unknown context, `UNAVAILABLE` naming those that do not run.
 */
async function membersOf(quorum: QuorumAdmin, contextId: string): Promise<readonly PartyAdmin[]> {
  const { contexts } = await readTopology(quorum);
  const context = contexts.find((known) => known.contextId === contextId);
  if (context === undefined) throw failure('NOT_FOUND', 'no party knows that context', "see 'arca context list'");
  // One node that was named by itself makes its part of an epoch, and waits for the others.
  if (quorum.missing.length === 0 && quorum.parties.length === 1) return quorum.parties;
  const isMember = (party: number): boolean => context.nodes.some((node) => node.party === party);
  const missing = quorum.missing.filter(({ party }) => isMember(party));
  if (missing.length === 0) return quorum.parties.filter(({ party }) => isMember(party));
  const names = missing.map(({ party, reason }) => `party ${party}: ${reason}`).join('; ');
  throw failure('UNAVAILABLE', `a new epoch needs all ${context.nodes.length} parties (${names})`, "see 'arca status'");
}

/** `arca epoch destroy ID --yes`. */
export async function runEpochDestroy(
  id: string,
  options: NodeSelection & { readonly yes?: true | undefined },
  output: Output,
): Promise<void> {
  const epochId = readId(id);
  if (options.yes !== true) {
    const what =
      'an epoch is destroyed with the shares of all its keys: what they encrypt can never be decrypted again';
    throw usageFailure(what, 'say --yes if that is meant');
  }
  await withPartyAdmins(options, async (quorum) => {
    await requireAll(options, quorum, 'destroying an epoch');
    const { gone } = await destroyAt(quorum.parties, ({ call }) =>
      call('DestroyMpcEpoch', { epochId: { requestId: epochId } }),
    );
    output.result({ epochId, destroyed: true, gone }, `destroyed epoch ${epochId}`);
  });
}

/**
 * Destroys something at all parties. One that has it no more is no fault where others still had it: a call that was cut
 * short is given again.
 *
 * @returns At which parties it was gone before.
 * @throws {@link KmsError} `NOT_FOUND` if no party had it; the first failure of any kind else, after all were asked.
 */
export async function destroyAt<A>(
  parties: readonly PartyAdmin[],
  destroy: (party: PartyAdmin) => Promise<A>,
): Promise<{ readonly gone: readonly number[]; readonly answers: readonly A[] }> {
  const results = await Promise.allSettled(parties.map(destroy));
  const gone: number[] = [];
  const answers: A[] = [];
  const failed: { readonly party: number; readonly reason: unknown }[] = [];
  for (const [at, result] of results.entries()) {
    const party = parties[at]?.party ?? 0;
    if (result.status === 'fulfilled') answers.push(result.value);
    else if (isKmsError(result.reason, 'NOT_FOUND')) gone.push(party);
    else failed.push({ party, reason: result.reason });
  }
  const [first] = failed;
  if (first !== undefined && failed.length === parties.length) throw first.reason;
  if (first !== undefined) {
    const names = failed.map(({ party }) => party).join(', ');
    const code = isKmsError(first.reason) ? first.reason.code : 'INTERNAL';
    const cure = 'give the command again once the cause is gone: it goes on where it stopped';
    throw failure(code, `it is not destroyed at party ${names}`, cure, {}, first.reason);
  }
  if (answers.length === 0)
    throw failure('NOT_FOUND', 'no party knows it', "see 'arca epoch list', 'arca context list'");
  return { gone, answers };
}
