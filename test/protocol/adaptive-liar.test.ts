/** Broadcast against liars who know the protocol: every message is well formed, and chosen for each receiver by itself. */
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { protocolHash } from '../../enclave/mpc/hash.ts';
import { packParts, unpackParts } from '../../enclave/mpc/parts.ts';
import { broadcast } from '../../enclave/mpc/protocols/long-broadcast.ts';
import { SimNetwork, type Strategy } from '../helpers/sim-network.ts';
import { attackBroadcast, honestValue } from './attack-broadcast.ts';

/** Says different things to different parties, claims to hold anything, and supplies another value than it claims. */
const longLiar: Strategy = (frame, random) => {
  const [one, other] = [Uint8Array.of(100), Uint8Array.of(101)];
  if (frame.round === 1) return random.below(4) === 0 ? [{ ...frame, payload: other }] : [{ ...frame, payload: one }];
  if (frame.round !== 2) return [frame];
  const hashes = unpackParts(frame.payload, 4) ?? [];
  const payload = packParts(
    hashes.map((hash, index) => (index + 1 === frame.from ? protocolHash('BRACHABC', one) : hash)),
  );
  // The round of supplies comes after one of values and nine of the broadcast of hashes.
  return [
    { ...frame, payload },
    { ...frame, round: 11, delayMs: 500 + random.below(2000), payload: packParts([other, other, other, other]) },
  ];
};

t.test('who lacks a value takes no other in its place', async (t) => {
  let supplied = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const liar = 1 + (seed % 4);
    const network = new SimNetwork({ n: 4, t: 1, seed, liars: new Map([[liar, longLiar]]), repeatOneIn: 1000 });
    const results = await network.run((session) => broadcast(session, honestValue(session.me), 10));
    const [first] = results.values();
    for (const result of results.values()) {
      if (result instanceof Error) throw new Error(`seed ${seed}: ${result.stack}`);
      if (!isDeepStrictEqual(result, first)) throw new Error(`seed ${seed}: honest parties took different values`);
    }
    supplied += network.frames.some(({ from, round }) => from !== liar && round === 11) ? 1 : 0;
  }
  t.ok(supplied > 10, `in ${supplied} of 60 schedules a value was supplied`);
});

t.test('honest parties agree whatever well-formed messages liars send', async (t) => {
  const outcomes = new Map<string, number>();
  for (const [n, threshold, runs] of [
    [4, 1, 500],
    [7, 2, 60],
    [13, 4, 4],
  ] as const) {
    for (let seed = 1; seed <= runs; seed++) {
      for (const outcome of await attackBroadcast(n, threshold, seed)) {
        outcomes.set(String(outcome), (outcomes.get(String(outcome)) ?? 0) + 1);
      }
    }
  }
  t.ok(
    [...outcomes.values()].every((count) => count > 5) && outcomes.size === 3,
    'both values, and none, have come out',
  );
});
