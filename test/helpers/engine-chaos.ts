/**
 * Four engines whose certificates last seconds, and whose processes, links and records change as a seed says: after each
 * change, and while it happens, all of them meet. Every message of a failure names the seed that reproduces its order.
 */
import type { Test } from 'tap';
import { toHex } from '../../common/bytes.ts';
import { engineNetwork, type NetworkedEngine } from './engine-network.ts';
import { present } from './present.ts';
import { simRandom } from './sim-network.ts';

const ALL = [1, 2, 3, 4];
const LEAF_LIFE_MS = 6_000;
/** A meeting that a party began with a process that is no more takes the others' next attempt. */
const MOST_ATTEMPTS = 5;

/** Runs so many changes. */
export async function runChaos(t: Test, seed: number, rounds: number): Promise<void> {
  const random = simRandom(`chaos ${seed}`);
  const network = engineNetwork(t, ALL.length);
  const engines = [...(await network.startAll({ leafLifeMs: LEAF_LIFE_MS }))];
  let version = 1;
  const pick = (): NetworkedEngine => present(engines[random.below(ALL.length)]);
  const changes: readonly (() => Promise<unknown>)[] = [
    async () => {
      const { party, stop } = pick();
      await stop();
      engines[party - 1] = await network.start(party, { leafLifeMs: LEAF_LIFE_MS });
    },
    async () => {
      for (const link of pick().network.links.values()) link.close('broken');
    },
    async () => {
      for (const link of pick().network.links.values()) if (random.below(2) === 0) link.close('broken');
    },
    () => {
      version += 1;
      return pick().governance.offer({ kind: 'record', content: network.record(version) });
    },
    () => new Promise((resolve) => setTimeout(resolve, random.below(1_000))),
  ];
  for (let round = 1; round <= rounds; round++) {
    const happening = present(changes[random.below(changes.length)])();
    if (random.below(2) === 0) await happening;
    let met = await meetAll(engines, round);
    for (let attempt = 1; new Set(met).size > 1 && attempt < MOST_ATTEMPTS; attempt++) {
      await happening;
      met = await meetAll(engines, round);
    }
    t.equal(new Set(met).size, 1, `round ${round} of seed ${seed}: ${met.join(', ').slice(0, 300)}`);
    await happening;
  }
  const isBehind = ({ governance }: NetworkedEngine): boolean => governance.book.versions.record !== version;
  while (engines.some(isBehind)) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const { network: peers } of engines) {
    for (const party of ALL) {
      const { counts } = peers.ledger.of(party);
      t.ok(
        Object.values(counts).every((count) => count === 0),
        `nobody did wrong: seed ${seed}, party ${party}: ${JSON.stringify(counts)}`,
      );
    }
  }
}

/** What each engine met, or why it did not. */
async function meetAll(engines: readonly NetworkedEngine[], round: number): Promise<readonly string[]> {
  const id = new Uint8Array(32).fill(round);
  const meeting = { kind: 'chaos', id, digest: id, parties: ALL, withinMs: 4_000 };
  const all = engines.map(({ network }) => network.meet(meeting, new AbortController().signal));
  const met = await Promise.allSettled(all);
  return met.map((result) => (result.status === 'fulfilled' ? toHex(result.value) : String(result.reason)));
}
