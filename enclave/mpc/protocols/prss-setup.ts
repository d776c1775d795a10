/**
 * Set-up of pseudo-random secret sharing: for each set of n - t parties a key r_A that exactly its members know.
 *
 * Keys are secret, 32 bytes in ArrayBuffers of their own; masks and zero sharings follow from them without a message.
 * Robust: no party can keep the others from it, or choose a key. Spec: threshold protocols, section 2.7 and 3.5 (f).
 */

import type { Arithmetic, RingVector } from '../arithmetic.ts';

import { partySets } from '../party-sets.ts';
import { Scratch } from '../scratch.ts';
import type { Session } from '../session.ts';
import { keyFromElement } from './agree-random.ts';
import { robustOpenToEach } from './robust-open.ts';
import { shareVerifiably } from './verifiable-sharing.ts';

/** A party's keys; disposing wipes them. */
export class PrssKeys implements Disposable {
  readonly n: number;
  readonly t: number;
  readonly party: number;
  /** 32 bytes for each set that has this party, sets in lexicographic order. Secret. */
  readonly keys: readonly Uint8Array<ArrayBuffer>[];

  constructor(fields: Pick<PrssKeys, 'n' | 't' | 'party' | 'keys'>) {
    this.n = fields.n;
    this.t = fields.t;
    this.party = fields.party;
    this.keys = fields.keys;
  }

  [Symbol.dispose](): void {
    for (const key of this.keys) key.fill(0);
  }
}

/**
 * Runs the set-up. One verifiable sharing of ceil(C(n, t) / (n - t)) elements, and one opening.
 *
 * @throws KmsError `ABORTED` as the broadcast does, `TASK_FAILED` as the opening does.
 */
export async function setUpPrss<V extends RingVector>(session: Session, arithmetic: Arithmetic<V>): Promise<PrssKeys> {
  const { me, n, t } = session;
  using scratch = new Scratch();
  const sets = partySets(n, t);
  const mine = scratch.own(arithmetic.random(Math.ceil(sets.length / (n - t))));
  const shares = scratch.ownAll(await shareVerifiably(session, arithmetic, mine));
  const extracted = scratch.ownAll(arithmetic.extract(shares, n, t));
  const ofSets = scratch.own(arithmetic.concat(extracted));
  const heldBy = (party: number): V =>
    scratch.own(
      arithmetic.concat(
        sets.flatMap((set, a) => (set.includes(party) ? [scratch.own(arithmetic.slice(ofSets, a, a + 1))] : [])),
      ),
    );
  const opened = scratch.own(await robustOpenToEach(session, arithmetic, heldBy));
  const encoded = arithmetic.encode(opened);
  try {
    const { elementBytes } = arithmetic;
    const keys = Array.from({ length: opened.length }, (_, index) =>
      keyFromElement(encoded.subarray(index * elementBytes, (index + 1) * elementBytes)),
    );
    return new PrssKeys({ n, t, party: me, keys });
  } finally {
    encoded.fill(0);
  }
}
