/** The sets of n - t parties that hold a common key, and who is in them. All public. Spec: threshold protocols, 2.7. */
import { KmsError } from '../../common/errors.ts';

/** Most sets that a set-up may have: (13, 4) has 715. */
const MOST_SETS = 2047;

/**
 * Returns all sets of n - t of the roles 1 to n, in lexicographic order.
 *
 * @throws KmsError `CONFIG_INVALID` for more than 2047 sets.
 * @example
 * partySets(4, 1); // [[1, 2, 3], [1, 2, 4], [1, 3, 4], [2, 3, 4]]
 */
export function partySets(n: number, t: number): number[][] {
  const sets: number[][] = [];
  const extend = (set: readonly number[]): void => {
    if (set.length < n - t) {
      for (let party = (set.at(-1) ?? 0) + 1; party <= t + set.length + 1; party++) extend([...set, party]);
    } else if (sets.push([...set]) > MOST_SETS) {
      throw new KmsError('CONFIG_INVALID', 'too many sets of parties', { n, t });
    }
  };
  extend([]);
  return sets;
}
