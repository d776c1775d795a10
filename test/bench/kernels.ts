/**
 * What a threshold engine's arithmetic costs: partial decryption (digest, product, masks), the same for a user, and
 * opening, one call at a time. The way to the native thread pool and back is in every figure.
 */
import { createHash } from 'node:crypto';
import {
  type CiphertextItem,
  type FheKey,
  MaskKeys,
  NodeKey,
  openDecryption,
  partialDecrypt,
  setsOf,
  splitKey,
  userShares,
} from '../../native/engine/index.ts';
import { generateUserKeyPair } from '../../wire/signcryption.ts';
import type { Bench } from './decryption.ts';

const REPEATS = 500;
const WARM_UP = 50;
/** Of one partial decryption of an euint64 by one of four parties. */
const GOAL_MICROSECONDS = 200;
const QUORUMS = [
  [4, 1],
  [13, 4],
] as const;

/** Measures with shares of `key` on one ciphertext. */
export async function measureKernels(
  { figures, say }: Pick<Bench, 'figures' | 'say'>,
  key: FheKey,
  item: CiphertextItem,
): Promise<void> {
  const step = async (name: string, goal: number | undefined, work: () => Promise<unknown>) => {
    const value = await medianMicroseconds(work);
    figures.add({ name, value, unit: 'µs', ...(goal === undefined ? {} : { goal }) });
    say(`${name}: ${value.toFixed(1)} µs`);
  };
  using nodeKey = NodeKey.generate();
  const { encKey } = generateUserKeyPair();
  const recipient = { encKey, clientAddress: new Uint8Array(20), link: new Uint8Array(32), nodeKey };
  for (const [n, t] of QUORUMS) {
    const parties = splitKey({ key, n, t, provenance: 'developer' }).map((shares) => ({
      shares,
      masks: maskKeys(n, t, shares.party),
      contextId: new Uint8Array(32),
      epochId: new Uint8Array(32),
      keyId: new Uint8Array(32),
      items: [item],
    }));
    const [first] = parties;
    if (!first) throw new Error('a quorum has parties');
    await step(`kernel.partialDecrypt.of${n}`, n === 4 ? GOAL_MICROSECONDS : undefined, () => partialDecrypt(first));
    await step(`kernel.userShares.of${n}`, undefined, () => userShares({ ...first, ...recipient }));
    const contributions = new Map<number, Uint8Array>();
    for (const party of parties) {
      const [share] = await partialDecrypt(party);
      if (share) contributions.set(party.shares.party, share);
    }
    const opening = { n, t, fheType: item.fheType, format: item.format, contributions };
    await step(`kernel.open.of${n}`, undefined, () => openDecryption(opening));
    for (const { shares, masks } of parties) {
      shares.dispose();
      masks.dispose();
    }
  }
}

function maskKeys(n: number, t: number, party: number): MaskKeys {
  const held = setsOf(n, t).filter((set) => set.includes(party));
  const keys = held.map((set) => new Uint8Array(createHash('sha256').update(set.join(',')).digest()));
  return MaskKeys.fromKeys({ n, t, party, keys });
}

async function medianMicroseconds(work: () => Promise<unknown>): Promise<number> {
  for (let i = 0; i < WARM_UP; i++) await work();
  const times: number[] = [];
  for (let i = 0; i < REPEATS; i++) {
    const before = performance.now();
    await work();
    times.push((performance.now() - before) * 1000);
  }
  return times.sort((a, b) => a - b)[REPEATS / 2] ?? 0;
}
