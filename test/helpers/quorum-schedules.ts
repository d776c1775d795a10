/** Runs of a simulated quorum in which everything comes out of one seed: size, network, liars and what they do. */
import { isDeepStrictEqual } from 'node:util';
import { askPublic, simRequest } from './quorum-requests.ts';
import { STRATEGIES } from './quorum-strategies.ts';
import { randomFrom, SimQuorum, type Strategy } from './sim-quorum.ts';

const SIZES = [
  [4, 1],
  [7, 2],
] as const;
const LARGEST = [13, 4] as const;

/**
 * Runs one schedule.
 *
 * @throws Error naming the seed if an honest party opens anything but the plaintexts, or names an honest party.
 */
export async function runQuorumSchedule(seed: number): Promise<void> {
  const random = randomFrom(seed);
  const [n, t] = (seed % 10 === 0 ? LARGEST : SIZES[seed % 2]) ?? LARGEST;
  const all = Object.values(STRATEGIES);
  const strategies = new Map<number, Strategy>();
  while (strategies.size < t) {
    const strategy = all[Math.floor(random() * all.length)];
    if (strategy) strategies.set(1 + Math.floor(random() * n), strategy());
  }
  const network = { delayMs: 1 + random() * 100, loss: random() * 0.1, double: random() * 0.1 };
  const sim = new SimQuorum({ n, t, seed, strategies, ...network });
  for (let cuts = Math.floor(random() * 4); cuts > 0; cuts--) {
    const [a, b] = [1 + Math.floor(random() * n), 1 + Math.floor(random() * n)];
    if (a !== b) sim.later(random() * 200, () => sim.cut(a, b, 20 + random() * 500));
  }
  const requests = Array.from({ length: 3 }, (_, i) => simRequest(seed * 10 + i, { items: 1 + (i % 3) }));
  for (const liar of strategies.keys()) {
    for (const request of requests) askPublic(sim.party(liar), request).catch(() => undefined); // its own matter
  }
  const results = await sim.run(
    Promise.all(sim.honest.map((party) => Promise.all(requests.map((request) => askPublic(party, request))))),
  );
  const wanted = requests.map(({ plaintexts }) => plaintexts);
  if (!results.every((result) => isDeepStrictEqual(result, wanted))) throw new Error(`wrong plaintexts (seed ${seed})`);
  const named = sim.honest.flatMap(({ ledger }) => ledger.liars());
  if (!named.every((party) => strategies.has(party))) throw new Error(`an honest party was named (seed ${seed})`);
}
