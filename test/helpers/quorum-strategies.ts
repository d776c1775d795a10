/** What liars of the simulated quorum do. Each strategy is a function of the frame that an honest party would send. */
import { decodeFrame, encodeEntry, encodeFrame, type QuorumEntry } from '../../enclave/threshold/quorum-frame.ts';
import type { Strategy } from './sim-quorum.ts';

type Change = (entry: QuorumEntry, to: number, random: () => number) => readonly QuorumEntry[];

/** A strategy that changes entries one by one. */
export function changing(change: Change): Strategy {
  return (frame, to, random) => {
    const entries = decodeFrame(frame).flatMap((entry) => change(entry, to, random));
    return entries.length === 0 ? [] : [{ frame: encodeFrame(entries.map(encodeEntry)) }];
  };
}

function withShares(entry: QuorumEntry, change: (shares: Uint8Array) => Uint8Array): QuorumEntry {
  return entry.what === 'shares' ? { ...entry, shares: change(Uint8Array.from(entry.shares)) } : entry;
}

function randomBytes(random: () => number, sizeBytes: number): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, () => Math.floor(random() * 256));
}

/** Makes a strategy that remembers the shares it has sent. */
function replaying(): Strategy {
  let old: Uint8Array | undefined;
  return changing((entry) => {
    if (entry.what !== 'shares') return [entry];
    const replayed = old;
    old ??= Uint8Array.from(entry.shares);
    return [replayed ? { ...entry, shares: replayed } : withShares(entry, (shares) => shares.fill(1, 0, 8))];
  });
}

/** All strategies, by name; each call makes a liar without a past. */
export const STRATEGIES: Readonly<Record<string, () => Strategy>> = {
  silent: () => () => [],
  late: () => (frame, _, random) => [{ frame, delayMs: 200 + random() * 2000 }],
  'wrong share': () => changing((entry, _, random) => [withShares(entry, (s) => s.map((b) => b ^ (random() * 256)))]),
  'one bit': () => changing((entry) => [withShares(entry, (shares) => shares.with(0, (shares[0] ?? 0) ^ 1))]),
  'two faces': () =>
    changing((entry, to) => [withShares(entry, (shares) => (to % 2 ? shares : shares.fill(to, 0, 8)))]),
  'cut shares': () => changing((entry) => [withShares(entry, (shares) => shares.subarray(0, shares.length - 1))]),
  'announces and sends nothing': () => changing((entry) => (entry.what === 'shares' ? [] : [entry])),
  garbage: () => (_, __, random) => [{ frame: randomBytes(random, 1 + random() * 200) }],
  'revised shares': () => changing((entry) => [entry, withShares(entry, (shares) => shares.fill(7, 0, 8))]),
  replays: replaying,
  'another digest': () =>
    changing((entry) => {
      if (entry.what !== 'announce') return [entry];
      return [{ ...entry, name: { ...entry.name, digest: Uint8Array.from(entry.name.digest).reverse() } }];
    }),
  floods: () =>
    changing((entry, _, random) => {
      const announce = (): QuorumEntry => {
        const name = { kind: 'public' as const, id: randomBytes(random, 32), digest: randomBytes(random, 32) };
        return { what: 'announce', name };
      };
      return [...Array.from({ length: 50 }, announce), entry];
    }),
};
