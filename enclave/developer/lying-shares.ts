/**
 * Makes a party that lies, for demonstrations in developer mode: its mask keys are those of no set-up, so every share that it
 * gives to peers or users is well formed, well signed and wrong. No production program reaches this file.
 */
import type { RandomSource } from '../../common/random.ts';
import { MaskKeys } from '../../native/engine/index.ts';
import type { MaskKeySource } from '../contexts/epoch-book.ts';

/** Returns what takes random mask keys into native memory in place of the epoch's. */
export function lyingMasks(random: RandomSource): (source: MaskKeySource) => MaskKeys {
  return ({ n, t, party, keys: own }) => {
    const keys = own.map(({ byteLength }) => random(byteLength));
    try {
      return MaskKeys.fromKeys({ n, t, party, keys });
    } finally {
      for (const key of keys) key.fill(0);
    }
  };
}
