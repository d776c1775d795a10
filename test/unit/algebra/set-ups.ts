/** Set-ups of pseudorandom sharings for tests: every party's keys, known or random. */
import { systemRandom } from '../../../common/random.ts';
import type { SetUp } from '../../../enclave/algebra/prss.ts';
import { setsOf } from '../../../enclave/algebra/prss-sets.ts';
import type { SetKey } from '../../../enclave/algebra/set-prf.ts';

/** Each set with a key; by default random ones. The rank is that of the set in lexicographic order. */
export function keyedSets(
  n: number,
  t: number,
  keyOf: (rank: number) => Uint8Array = () => systemRandom(32),
): SetKey[] {
  return setsOf(n, t).map((set, rank) => ({ set, key: keyOf(rank) }));
}

/** One party's part: the sets that hold it. */
export function setUpOf(n: number, t: number, party: number, sets: readonly SetKey[]): SetUp {
  return { n, t, party, held: sets.filter(({ set }) => set.includes(party)) };
}

/** Every party's part. */
export function setUps(n: number, t: number, sets: readonly SetKey[] = keyedSets(n, t)): SetUp[] {
  return Array.from({ length: n }, (_, i) => setUpOf(n, t, i + 1, sets));
}
