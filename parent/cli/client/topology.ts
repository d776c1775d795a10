/**
 * Contexts and epochs as the parties see them: asked of each party's own engine, and put together.
 */
import { isKmsError } from '../../../common/errors.ts';
import type { ContextNode, ThresholdInfo } from '../../../proto/gen/engine_pb.js';
import { formatAddress } from '../../../wire/addresses.ts';
import { failure } from '../framework/failure.ts';
import type { AdminClient } from './admin-client.ts';
import { answersOf, askParties, describeSilence } from './ask-parties.ts';
import type { QuorumAdmin } from './quorum-admin.ts';

/** An epoch, and who has it. */
export interface KnownEpoch {
  readonly epochId: string;
  readonly contextId: string;
  readonly parties: readonly number[];
}

/** A context, and who has it. */
export interface KnownContext {
  readonly contextId: string;
  readonly threshold: number;
  readonly nodes: readonly { readonly party: number; readonly address: string; readonly endpoint: string }[];
  readonly parties: readonly number[];
}

/** All that the parties that answered know of. */
export interface KnownTopology {
  readonly contexts: readonly KnownContext[];
  readonly epochs: readonly KnownEpoch[];
  /** Parties that answered. */
  readonly asked: readonly number[];
  /** For people: who did not answer. */
  readonly silent: readonly string[];
}

/**
 * Asks all parties.
 *
 * @throws {@link KmsError} `UNIMPLEMENTED` on a centralized node, `UNAVAILABLE` if no party answers.
 */
export async function readTopology({ parties, missing }: QuorumAdmin): Promise<KnownTopology> {
  let centralized = false;
  const outcomes = await askParties(
    { running: parties, missing },
    async ({ admin }) => {
      const { threshold } = await admin.getQuorum().catch((error: unknown) => {
        centralized ||= isKmsError(error, 'UNIMPLEMENTED');
        throw error;
      });
      return present(threshold);
    },
    { enough: () => false },
  );
  const silent = describeSilence(outcomes);
  const answers = answersOf(outcomes).map(({ answer }) => answer);
  if (answers.length === 0 && centralized) {
    const cure = "name the folder of a quorum with --dir; 'arca dev --parties 4' starts one";
    throw failure('UNIMPLEMENTED', 'this node is part of no quorum: it has no contexts and epochs', cure);
  }
  if (answers.length === 0) {
    const cause = new Error(silent.join('\n'));
    throw failure('UNAVAILABLE', 'nobody tells of contexts and epochs', "see 'arca status'", {}, cause);
  }
  const contexts = new Map<string, { readonly first: KnownContext; readonly parties: number[] }>();
  const epochs = new Map<string, { readonly first: KnownEpoch; readonly parties: number[] }>();
  for (const { party, contexts: known, epochs: held } of answers) {
    for (const context of known) note(contexts, context.contextId, party, () => contextOf(context));
    for (const { contextId, epochId } of held) {
      note(epochs, `${contextId}/${epochId}`, party, () => ({ contextId, epochId, parties: [] }));
    }
  }
  return {
    contexts: [...contexts.values()].map(({ first, parties: who }) => ({ ...first, parties: who })),
    epochs: [...epochs.values()].map(({ first, parties: who }) => ({ ...first, parties: who })),
    asked: answers.map(({ party }) => party),
    silent,
  };
}

/** Returns the contexts that one party knows. @throws {@link KmsError} `UNIMPLEMENTED` on a centralized node. */
export async function readContexts(admin: Pick<AdminClient, 'getQuorum'>): Promise<readonly KnownContext[]> {
  return present((await admin.getQuorum()).threshold).contexts.map(contextOf);
}

function present(threshold: ThresholdInfo | undefined): ThresholdInfo {
  if (threshold !== undefined) return threshold;
  throw failure('UNAVAILABLE', 'its engine is away', "see 'arca status'");
}

function note<K>(
  into: Map<string, { readonly first: K; readonly parties: number[] }>,
  key: string,
  party: number,
  make: () => K,
): void {
  const known = into.get(key);
  if (known === undefined) into.set(key, { first: make(), parties: [party] });
  else known.parties.push(party);
}

function contextOf({ contextId, threshold, nodes }: ThresholdInfo['contexts'][number]): KnownContext {
  return { contextId, threshold, nodes: nodes.map(nodeOf), parties: [] };
}

function nodeOf({ party, address, endpoint }: ContextNode): KnownContext['nodes'][number] {
  return { party, address: formatAddress(address), endpoint };
}

/** Returns `all parties`, or which. */
export function describeParties(parties: readonly number[], asked: readonly number[]): string {
  if (parties.length < asked.length) return `parties ${parties.join(', ')} of those asked (${asked.join(', ')})`;
  return asked.length === 1 ? `party ${asked[0]}` : 'all parties';
}
