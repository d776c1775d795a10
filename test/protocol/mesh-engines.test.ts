/** Protocols between engines that are attested to each other: met, begun together, cut off, and begun again. */
import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import { toHex } from '../../common/bytes.ts';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { exchange } from '../../enclave/mpc/exchange.ts';
import { meshNetwork } from '../../enclave/mpc/mesh-session.ts';
import { beginSession } from '../../enclave/mpc/protocols/begin-session.ts';
import { flipCoin } from '../../enclave/mpc/protocols/coin-flip.ts';
import { reliableBroadcast } from '../../enclave/mpc/protocols/reliable-broadcast.ts';
import type { Session } from '../../enclave/mpc/session.ts';
import { engineNetwork, type NetworkedEngine, until } from '../helpers/engine-network.ts';
import { present } from '../helpers/present.ts';
import { smallRing } from '../helpers/small-ring.ts';

const never = new AbortController().signal;
const serves = ({ network }: NetworkedEngine, others: number): boolean =>
  [...network.links.values()].filter((link) => link.usable && link.stats().sessions > 0).length === others;

async function four(t: Test) {
  const network = engineNetwork(t, 4);
  const engines = [...(await network.startAll())];
  await until(() => engines.every((engine) => serves(engine, 3)));
  return { network, engines };
}

/** Meets the others over something and begins a session with them, as every ceremony does. */
async function begin({ network, party }: NetworkedEngine, of: string): Promise<Session> {
  const id = new Uint8Array(32).fill(of.length);
  const met = await network.meet({ kind: of, id, digest: id, parties: [1, 2, 3, 4] }, never);
  const over = { me: party, n: 4, t: 1, links: network.links, clock: systemClock, roundTimeoutMs: 20_000 };
  const purpose = { kind: of, id: Buffer.concat([id, met]), context: id, epoch: id, partySet: id };
  return await beginSession(meshNetwork(over), purpose, systemRandom, never);
}

async function coin(engine: NetworkedEngine, of: string): Promise<string> {
  const session = await begin(engine, of);
  const flipped = await flipCoin(session, smallRing(systemRandom));
  session.end();
  return JSON.stringify([session.faults, toHex(session.id), inspect(flipped, { depth: 6, maxArrayLength: 100 })]);
}

t.test('engines that were asked at different times flip one coin, many times at once', async (t) => {
  const { engines } = await four(t);
  const kinds = ['a', 'bb', 'ccc', 'dddd', 'eeeee', 'ffffff'];
  const flips = kinds.map(async (kind) => {
    const coins = engines.map(async (engine, index) => {
      await new Promise((resolve) => setTimeout(resolve, ((index * 7 + kind.length * 3) % 5) * 30));
      return await coin(engine, kind);
    });
    return await Promise.all(coins);
  });
  const results = await Promise.all(flips);
  for (const coins of results) t.equal(new Set(coins).size, 1, 'one coin');
  t.equal(new Set(results.flat()).size, kinds.length, 'another coin for each');
});

t.test('a party whose process ends within a session is silent in it, and takes part in the next', async (t) => {
  const { engines, network } = await four(t);
  const sessions = await Promise.all(engines.map((engine) => begin(engine, 'cut')));
  const rest = sessions.slice(0, 3).map(async (session) => {
    await exchange(session, Uint8Array.of(1));
    const values = await reliableBroadcast(session, Uint8Array.of(session.me), 32);
    session.end();
    return [...values.keys()];
  });
  await exchange(present(sessions[3]), Uint8Array.of(1));
  await present(engines[3]).stop();
  for (const parties of await Promise.all(rest)) t.same(parties, [1, 2, 3]);
  engines[3] = await network.start(4);
  const coins = await Promise.all(engines.map((engine) => coin(engine, 'cut')));
  t.equal(new Set(coins).size, 1, 'one coin');
});

t.test('connections that are broken between two sessions cost the next one nothing', async (t) => {
  const { engines } = await four(t);
  const before = await Promise.all(engines.map((engine) => coin(engine, 'x')));
  for (const { network } of engines) for (const link of network.links.values()) link.close('broken');
  const after = await Promise.all(engines.map((engine) => coin(engine, 'x')));
  t.equal(new Set(after).size, 1);
  t.not(after[0], before[0]);
});

t.test('messages of many megabytes pass beside small ones of other sessions', async (t) => {
  const { engines } = await four(t);
  const large = Promise.all(
    engines.map(async (engine) => {
      const session = await begin(engine, 'large');
      const received = await exchange(session, new Uint8Array(8_000_000).fill(engine.party));
      session.end();
      return [...received].every(([party, value]) => value.byteLength === 8_000_000 && value.at(-1) === party);
    }),
  );
  const coins = await Promise.all(engines.map((engine) => coin(engine, 'small')));
  t.equal(new Set(coins).size, 1);
  t.same(await large, [true, true, true, true]);
});
