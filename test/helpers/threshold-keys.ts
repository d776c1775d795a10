/** All parties' shares and mask keys of a whole test key, for tests that play every party in one process. */
import { createHash } from 'node:crypto';
import {
  type CiphertextItem,
  type FheKey,
  type KeyShares,
  MaskKeys,
  type PartialInput,
  type SquashKeys,
  setsOf,
  splitKey,
} from '../../native/engine/index.ts';
import type { Teardown } from './temp-dir.ts';

/** The ids that the tests' masks are bound to. */
export const TEST_NAMES = {
  contextId: new Uint8Array(32).fill(1),
  epochId: new Uint8Array(32).fill(2),
  keyId: new Uint8Array(32).fill(3),
} as const;

/** What one party decrypts with. */
export interface ThresholdParty {
  readonly party: number;
  readonly shares: KeyShares;
  readonly masks: MaskKeys;
}

/** The key of each set that holds a party: a hash of a label and the set, so that all its members have the same. */
export function testMaskKeys(n: number, t: number, party: number, label = 'epoch'): MaskKeys {
  const held = setsOf(n, t).filter((set) => set.includes(party));
  const keys = held.map(
    (set) =>
      new Uint8Array(
        createHash('sha256')
          .update(`${label} ${set.join(',')}`)
          .digest(),
      ),
  );
  return MaskKeys.fromKeys({ n, t, party, keys });
}

/** Splits a key among n parties and gives each its mask keys; all is disposed of when the test ends. */
export function thresholdParties(teardown: Teardown, key: FheKey, n: number, t: number): ThresholdParty[] {
  const parties = splitKey({ key, n, t, provenance: 'developer' }).map((shares) => ({
    party: shares.party,
    shares,
    masks: testMaskKeys(n, t, shares.party),
  }));
  teardown.teardown(() => {
    for (const { shares, masks } of parties) {
      shares.dispose();
      masks.dispose();
    }
  });
  return parties;
}

/** The input of a party's partial decryption. */
export function partialInput(
  { shares, masks }: ThresholdParty,
  items: readonly CiphertextItem[],
  squash?: SquashKeys,
): PartialInput {
  return { shares, masks, items, ...TEST_NAMES, ...(squash ? { squash } : {}) };
}
