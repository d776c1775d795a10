/**
 * What `arca context` does: at all parties of the quorum on `--dir`, or at the one node that is named.
 */
import { packageVersion } from '../../../common/package-version.ts';
import { parseAddress } from '../../../wire/addresses.ts';
import { atAllParties } from '../client/ask-parties.ts';
import { randomId, readId } from '../client/keys.ts';
import { requireAll, withPartyAdmins } from '../client/quorum-admin.ts';
import type { NodeSelection } from '../client/session.ts';
import { describeParties, type KnownContext, type KnownTopology, readTopology } from '../client/topology.ts';
import { usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { destroyAt } from './epoch.ts';

/** `arca context list`. */
export async function runContextList(selection: NodeSelection, output: Output): Promise<void> {
  await withPartyAdmins(selection, async (quorum) => {
    const topology = await readTopology(quorum);
    for (const line of topology.silent) output.warn(line);
    const contexts = topology.contexts.map((context) => ({ ...context, epochs: epochsOf(topology, context) }));
    const lines = contexts.flatMap(({ contextId, threshold, nodes, parties, epochs }) => [
      `${contextId}  ${nodes.length} parties, ${threshold} may fail  ${describeParties(parties, topology.asked)}`,
      ...nodes.map(({ party, address, endpoint }) => `  party ${party}  ${address}  ${printable(endpoint)}`),
      ...epochs.map((epochId) => `  epoch ${epochId}`),
    ]);
    output.result({ contexts, asked: topology.asked, silent: topology.silent }, lines.join('\n') || 'none');
  });
}

/** `arca context new`: the parties of the default context once more, under another id. */
export async function runContextNew(
  options: NodeSelection & { readonly id?: string | undefined; readonly parties?: number | undefined },
  output: Output,
): Promise<void> {
  const contextId = options.id === undefined ? randomId() : readId(options.id);
  await withPartyAdmins(options, async (quorum) => {
    await requireAll(options, quorum, 'a new context');
    const nodes = membersOf(await readTopology(quorum), options.parties);
    const newContext = {
      contextId: { requestId: contextId },
      softwareVersion: packageVersion(),
      threshold: (nodes.length - 1) / 3,
      mpcNodes: nodes.map(({ party, address, endpoint }) => ({
        mpcIdentity: `party-${party}`,
        partyId: party,
        signerAddress: parseAddress(address, 'address'),
        // Of URLs only the form is looked at: where a mesh listens stands in the governed record.
        externalUrl: `https://${endpoint}`,
      })),
    };
    await atAllParties(quorum.parties, ({ call }, signal) => call('NewMpcContext', { newContext }, signal));
    const text = `${contextId}\nit has no epoch yet: arca epoch new --context ${contextId}`;
    output.result({ contextId, threshold: newContext.threshold, parties: nodes.map(({ party }) => party) }, text);
  });
}

/** `arca context destroy ID --yes`. */
export async function runContextDestroy(
  id: string,
  options: NodeSelection & { readonly yes?: true | undefined },
  output: Output,
): Promise<void> {
  const contextId = readId(id);
  if (options.yes !== true) {
    const what = 'a context is destroyed with all its epochs: what their keys encrypt can never be decrypted again';
    throw usageFailure(what, 'say --yes if that is meant');
  }
  await withPartyAdmins(options, async (quorum) => {
    await requireAll(options, quorum, 'destroying a context');
    const { gone, answers } = await destroyAt(quorum.parties, ({ call }) =>
      call('DestroyMpcContext', { contextId: { requestId: contextId } }),
    );
    const epochIds = [...new Set(answers.flatMap((answer) => answer.epochIds.map(({ requestId }) => requestId)))];
    const epochs = epochIds.length === 0 ? 'without epochs' : `and epochs ${epochIds.join(', ')}`;
    output.result({ contextId, destroyed: true, epochIds, gone }, `destroyed context ${contextId} ${epochs}`);
  });
}

/** The first `count` parties of the largest context; numbers have to be 1 to n. */
function membersOf({ contexts }: KnownTopology, count: number | undefined): KnownContext['nodes'] {
  const largest = contexts.reduce<KnownContext | undefined>(
    (best, context) => (best === undefined || context.nodes.length > best.nodes.length ? context : best),
    undefined,
  );
  const nodes = [...(largest?.nodes ?? [])].sort((a, b) => a.party - b.party);
  const wanted = count ?? nodes.length;
  if (wanted <= nodes.length && wanted >= 4 && wanted % 3 === 1) return nodes.slice(0, wanted);
  throw usageFailure(
    `a context cannot have ${wanted} of ${nodes.length} parties`,
    `give 4, 7, 10 or 13 with --parties, at most ${nodes.length}`,
  );
}

function epochsOf({ epochs }: KnownTopology, { contextId }: KnownContext): readonly string[] {
  return epochs.filter((epoch) => epoch.contextId === contextId).map(({ epochId }) => epochId);
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
