/**
 * Where a request is carried out: a context of a quorum, and one of its epochs. The parties of a context may be fewer than
 * those of the quorum; then they alone are asked, and as many of them count as the context says.
 *
 * What a context consists of is believed when more than t parties of the governed record say the same.
 */
import { DEFAULT_CONTEXT_ID } from '../../../wire/ids.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import { answersOf, askParties, describeSilence, majority, type PartyOutcome } from './ask-parties.ts';
import { readId } from './keys.ts';
import type { PlaceOptions, RequestPlace } from './place-options.ts';
import { withPartyAdmins } from './quorum-admin.ts';
import { type QuorumSession, withQuorum } from './quorum-session.ts';
import type { NodeSelection } from './session.ts';
import { type KnownContext, readContexts } from './topology.ts';

/** Reads the options. @throws {@link KmsError} with exit code 2 for what is no id, naming all of it. */
export function readPlace({ context, epoch }: PlaceOptions): RequestPlace {
  const wrong = Object.entries({ context, epoch }).filter(([, text]) => text !== undefined && !isId(text));
  if (wrong.length > 0) {
    const what = wrong.map(([name, text]) => `--${name} '${text}' is no id`).join('; ');
    throw usageFailure(what, "give 64 hexadecimal digits, not all zero; 'arca epoch list' shows contexts and epochs");
  }
  return {
    ...(context === undefined ? {} : { contextId: { requestId: readId(context) } }),
    ...(epoch === undefined ? {} : { epochId: { requestId: readId(epoch) } }),
  };
}

/** As `withQuorum`, with the parties of the context that a request is for. */
export async function withQuorumAt<T>(
  selection: NodeSelection,
  place: RequestPlace | undefined,
  body: (quorum: QuorumSession) => Promise<T>,
): Promise<T> {
  const contextId = place?.contextId?.requestId ?? DEFAULT_CONTEXT_ID;
  return await withQuorum(selection, async (quorum) =>
    body(contextId === DEFAULT_CONTEXT_ID ? quorum : partiesOf(quorum, contextId, await askContexts(selection))),
  );
}

async function askContexts(selection: NodeSelection): Promise<readonly PartyOutcome<readonly KnownContext[]>[]> {
  return await withPartyAdmins(selection, ({ parties, missing }) =>
    askParties({ running: parties, missing }, ({ admin }) => readContexts(admin), { enough: () => false }),
  );
}

/**
 * Returns a quorum with the parties of one of its contexts alone.
 *
 * @param told - Which contexts each party knows.
 * @throws {@link KmsError} `NOT_FOUND` if no party knows it, `ABORTED` if no t + 1 of them say the same of it.
 */
export function partiesOf(
  quorum: QuorumSession,
  contextId: string,
  told: readonly PartyOutcome<readonly KnownContext[]>[],
): QuorumSession {
  const known = answersOf(told).flatMap(({ party, answer }) =>
    answer.filter((context) => context.contextId === contextId).map((context) => ({ party, answer: context })),
  );
  const silent = describeSilence(told);
  const cause = silent.length === 0 ? undefined : new Error(silent.join('\n'));
  if (known.length === 0) {
    throw failure('NOT_FOUND', `no party knows context ${contextId}`, "see 'arca context list'", {}, cause);
  }
  const { agreed } = majority(known, meaningOf);
  const [first] = agreed;
  const least = quorum.threshold + 1;
  if (first === undefined || agreed.length < least) {
    const what = `${agreed.length} of the needed ${least} parties say the same about context ${contextId}`;
    throw failure('ABORTED', what, "see 'arca context list'", { agreed: agreed.length, needed: least }, cause);
  }
  const addresses = membersOf(first.answer).map(({ address }) => address);
  return {
    ...quorum,
    parties: addresses.length,
    threshold: first.answer.threshold,
    addresses,
    running: quorum.running.filter(({ address }) => addresses.includes(address)),
    missing: quorum.missing.filter(({ party }) => addresses.includes(quorum.addresses[party - 1] ?? '')),
  };
}

function meaningOf(context: KnownContext): string {
  return JSON.stringify([context.threshold, membersOf(context).map(({ party, address }) => [party, address])]);
}

function membersOf({ nodes }: KnownContext): KnownContext['nodes'] {
  return [...nodes].sort((a, b) => a.party - b.party);
}

function isId(text: string): boolean {
  try {
    readId(text);
    return true;
  } catch {
    return false;
  }
}
