/** The functions of a set-up on the native kernels: keys and values stay in Rust memory until a draw is thrown away. */
import { combine, PrssKeys as NativePrssKeys, prssWeights, type Ring, ShareVector } from '../../native/engine/index.ts';
import { partySets } from './party-sets.ts';
import type { PrssKeys } from './protocols/prss-setup.ts';
import type { PrssFunctions } from './prss-draws.ts';

/**
 * Returns the functions of a party's keys, keyed for one session; disposing wipes them. The set-up's keys stay the
 * caller's.
 */
export function nativePrss(
  ring: Ring,
  { n, t, party: me, keys }: PrssKeys,
  sessionId: Uint8Array,
): PrssFunctions<ShareVector> & Disposable {
  const sets = partySets(n, t);
  const native = NativePrssKeys.fromKeys({ ring, n, t, party: me, sessionId, keys });
  const heldBy = (party: number): number[] => [...sets.keys()].filter((set) => sets[set]?.includes(party));
  const elementBytes = ring / 2;
  return {
    sets,
    valueBytes: (family) => elementBytes * (family === 'prss' ? 1 : t),
    draw: (family, counter) => native.draw(family, counter, 1),
    values: (family, counter) => {
      const values = native.values(family, counter);
      return new Map(heldBy(me).map((set, index) => [set, values[index] ?? new Uint8Array()]));
    },
    share: (family, party, valueFor) => {
      const weights = prssWeights({ ring, n, t, party, family }).flat();
      const values = heldBy(party).flatMap((set) => {
        const all = ShareVector.fromBytes(ring, valueFor(set));
        return Array.from({ length: all.length }, (_, index) => all.slice(index, index + 1));
      });
      try {
        return combine(values, weights);
      } finally {
        for (const value of values) value.dispose();
      }
    },
    [Symbol.dispose]: () => native.dispose(),
  };
}
