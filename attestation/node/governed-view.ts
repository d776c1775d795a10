/**
 * What a process trusts and knows, as its governance book says at this moment: the mesh's view of charter, governed
 * record and release sets. Engine and Core share it. Nothing here is secret.
 */
import type { Clock } from '../../common/clock.ts';
import type { TrustAnchor } from '../document/index.ts';
import { charterFor, type GovernanceBook, pcr16Of } from '../governance/index.ts';
import type { MeshView, PartyView } from '../mesh/mesh-context.ts';

/** What a view is made from. */
export interface GovernedViewOptions {
  readonly book: GovernanceBook;
  /** The one root of this program. */
  readonly anchor: TrustAnchor;
  readonly clock: Clock;
}

/** The context before the first record names one: that of nobody. */
const NO_CONTEXT = new Uint8Array(32);

/** Returns the view of a book. It remembers the highest incarnation of each party for as long as the process runs. */
export function governedView({ book, anchor, clock }: GovernedViewOptions): MeshView {
  const { charter } = book;
  const incarnations = new Map<number, number>();
  const listeners = new Set<() => void>();
  book.onChange(() => {
    for (const listener of [...listeners]) listener();
  });
  return {
    anchor,
    network: charter.network,
    context: () => book.record?.body.context ?? NO_CONTEXT,
    party: (party) => {
      const named = book.record?.body.parties.find((entry) => entry.party === party);
      if (!named) return undefined;
      const minIncarnation = incarnations.get(party) ?? 0;
      const view: PartyView = {
        party,
        address: named.address,
        pcr16: pcr16Of(charterFor(charter, party)),
        keyPolicyHash: named.aws?.keyPolicy,
        minIncarnation,
      };
      return view;
    },
    measurements: () => book.measurements(clock.nowMs()),
    noteIncarnation: (party, incarnation) => {
      if (incarnation <= (incarnations.get(party) ?? 0)) return;
      incarnations.set(party, incarnation);
      for (const listener of [...listeners]) listener();
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
