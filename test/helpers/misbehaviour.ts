/** Ways in which a party lies on the simulated network, whatever the protocol is. */
import type { SimFrame, SimLie, SimRandom, Strategy } from './sim-network.ts';

const flipped = (payload: Uint8Array, random: SimRandom): Uint8Array => {
  if (payload.byteLength === 0) return Uint8Array.of(1);
  const changed = Uint8Array.from(payload);
  const at = random.below(payload.byteLength);
  changed[at] = (changed[at] ?? 0) ^ (1 + random.below(255));
  return changed;
};

const withPayload = (frame: SimFrame, payload: Uint8Array): SimLie => [{ ...frame, payload }];

/** All of them by name. */
export const STRATEGIES: Readonly<Record<string, Strategy>> = {
  silent: () => [],
  garbage: (frame, random) => withPayload(frame, random.bytes(frame.payload.byteLength)),
  empty: (frame) => withPayload(frame, new Uint8Array()),
  cut: (frame, random) => withPayload(frame, frame.payload.slice(0, random.below(frame.payload.byteLength + 1))),
  extended: (frame, random) => withPayload(frame, Uint8Array.of(...frame.payload, ...random.bytes(16))),
  flipped: (frame, random) => withPayload(frame, flipped(frame.payload, random)),
  'same lie to all': (frame) => {
    const changed = Uint8Array.from(frame.payload);
    for (let at = 0; at < changed.byteLength; at += 64) changed[at] = (changed[at] ?? 0) ^ 1;
    return withPayload(frame, changed);
  },
  'two views': (frame, random) =>
    withPayload(frame, frame.to % 2 === 0 ? frame.payload : flipped(frame.payload, random)),
  'heard by some': (frame, random) => (random.below(2) === 0 ? [frame] : []),
  'lies to some': (frame, random) =>
    withPayload(frame, random.below(2) === 0 ? frame.payload : flipped(frame.payload, random)),
  late: (frame) => [{ ...frame, delayMs: 1500 }],
  'in the last moment': (frame) => [{ ...frame, delayMs: 990 }],
  replays: (frame, random, all) => {
    const mine = all.filter(({ from, to }) => from === frame.from && to === frame.to);
    return withPayload(frame, mine[random.below(mine.length || 1)]?.payload ?? frame.payload);
  },
  'repeats another': (frame, _, all) => {
    const other = all.findLast(({ from, round }) => from !== frame.from && round === frame.round);
    return withPayload(frame, other?.payload ?? frame.payload);
  },
  'changes its mind': (frame, random) => [frame, { ...frame, payload: flipped(frame.payload, random) }],
  floods: (frame, random) => [
    ...Array.from({ length: 20 }, () => ({ ...frame, round: random.below(200), payload: random.bytes(64) })),
    frame,
  ],
};

/** A strategy in some rounds, the truth in others. */
export function inRounds(isIn: (round: number) => boolean, strategy: Strategy): Strategy {
  return (frame, random, all) => (isIn(frame.round) ? strategy(frame, random, all) : [frame]);
}
