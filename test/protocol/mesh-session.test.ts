/** The same protocols over frame links, as they run between engines: whole messages, dead links, peers that break rules. */
import { duplexPair } from 'node:stream';
import t, { type Test } from 'tap';
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import { systemClock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import { exchange } from '../../enclave/mpc/exchange.ts';
import { meshNetwork } from '../../enclave/mpc/mesh-session.ts';
import { beginSession } from '../../enclave/mpc/protocols/begin-session.ts';
import { flipCoin } from '../../enclave/mpc/protocols/coin-flip.ts';
import { reliableBroadcast } from '../../enclave/mpc/protocols/reliable-broadcast.ts';
import type { SessionNetwork } from '../../enclave/mpc/session.ts';
import { linkMesh, TEST_PURPOSE } from '../helpers/link-mesh.ts';
import { smallRing } from '../helpers/small-ring.ts';

const id = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const never = new AbortController().signal;

/** Links between all parties, `links[i][j]` from i to j, and the networks on them. */
function mesh(t: Test, n: number, threshold: number, roundTimeoutMs = 20_000, bytesPerPeer = 1 << 24) {
  const connect = (a: FrameLink, b: FrameLink): void => {
    const [left, right] = duplexPair();
    a.attach(left);
    b.attach(right);
  };
  const links = linkMesh(t, n, connect, { resumeWithinMs: 100 });
  const networks = [...links].map(([me, ofParty]) =>
    meshNetwork({ me, n, t: threshold, links: ofParty, clock: systemClock, roundTimeoutMs, bytesPerPeer }),
  );
  return { links, networks };
}

t.test('four parties begin a session and flip a coin', async (t) => {
  const { networks, links } = mesh(t, 4, 1);
  const coins = await Promise.all(
    networks.map(async (network) => {
      const session = await beginSession(network, TEST_PURPOSE, systemRandom, never);
      const coin = await flipCoin(session, smallRing(systemRandom));
      session.end();
      return { id: session.id, coin, faults: session.faults };
    }),
  );
  for (const coin of coins) t.same(coin, coins[0]);
  t.same(coins[0]?.faults, []);
  await new Promise((resolve) => setImmediate(resolve));
  for (const ofParty of links.values()) for (const link of ofParty.values()) t.equal(link.stats().sessions, 0);
});

t.test('a message larger than a frame arrives whole', async (t) => {
  const { networks } = mesh(t, 2, 0);
  const sizes = [0, 1, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 2_000_000];
  const run = async (network: SessionNetwork): Promise<void> => {
    const session = network.open(id(1), 'async', never);
    for (const size of sizes) {
      const received = await exchange(session, new Uint8Array(size).fill(network.me));
      const theirs = received.get(3 - network.me);
      t.equal(theirs?.byteLength, size, `${size} bytes`);
      t.ok(theirs?.every((byte) => byte === 3 - network.me));
    }
    session.end();
  };
  await Promise.all(networks.map(run));
});

t.test('a party without a connection is not waited for', async (t) => {
  const { networks, links } = mesh(t, 4, 1);
  for (const ofParty of links.values()) ofParty.get(4)?.close('down');
  await new Promise((resolve) => setImmediate(resolve));
  const results = await Promise.all(
    networks.slice(0, 3).map(async (network) => {
      const session = network.open(id(2), 'sync', never);
      const values = await reliableBroadcast(session, Uint8Array.of(network.me), 32);
      return { parties: [...values.keys()], faults: session.faults.map(({ party }) => party) };
    }),
  );
  for (const result of results) t.same(result, { parties: [1, 2, 3], faults: [4, 4] });
});

t.test('a connection that ends in the middle of a session is a silent party', async (t) => {
  const { networks, links } = mesh(t, 4, 1);
  const results = await Promise.all(
    networks.map(async (network) => {
      const session = network.open(id(3), 'sync', never);
      await exchange(session, Uint8Array.of(1));
      if (network.me === 4) {
        for (const link of links.get(4)?.values() ?? []) link.close('crash');
        return [];
      }
      return [...(await reliableBroadcast(session, Uint8Array.of(2), 32)).keys()];
    }),
  );
  t.same(results, [[1, 2, 3], [1, 2, 3], [1, 2, 3], []]);
});

t.test('a silent peer costs a deadline', async (t) => {
  const { networks } = mesh(t, 2, 0, 50);
  const [one] = networks;
  const session = one?.open(id(4), 'sync', never);
  t.same([...((session && (await exchange(session, Uint8Array.of(1)))) ?? []).keys()], [1]);
  t.same(session?.faults, [{ party: 2, what: 'silent in round 1' }]);
});

t.test('a peer that breaks the format, or sends too much, loses its connection', async (t) => {
  const broken: readonly [string, (send: (round: number, frame: Uint8Array) => void) => void][] = [
    ['sent a frame of no message', (send) => send(1, new Uint8Array())],
    ['sent a frame of no message', (send) => send(1, Uint8Array.of(7, 7))],
    [
      'began a message within another',
      (send) => {
        send(1, Uint8Array.of(1, 7));
        send(2, Uint8Array.of(0, 7));
      },
    ],
    [
      'sent a message that is too large',
      (send) => {
        for (let piece = 0; piece < 5; piece++) send(1, new Uint8Array(500_000).fill(1));
      },
    ],
    [
      'sent a message that is too large',
      (send) => {
        for (let piece = 0; piece < 5; piece++) send(1, Uint8Array.of(1));
      },
    ],
    ['too early in round 4294967295', (send) => send(0xffff_ffff, Uint8Array.of(0, 7))],
  ];
  for (const [index, [what, breakRules]] of broken.entries()) {
    const { networks, links } = mesh(t, 2, 0, 20_000, 2_000_000);
    const [one] = networks;
    const link = links.get(2)?.get(1);
    const session = one?.open(id(10 + index), 'sync', never);
    const peer = link?.open(id(10 + index));
    breakRules((round, frame) => void peer?.send(round, frame).catch(() => undefined));
    t.same([...((session && (await exchange(session, Uint8Array.of(1)))) ?? []).keys()], [1], what);
    t.same(session?.faults, [{ party: 2, what }]);
    t.notOk(links.get(1)?.get(2)?.usable, 'the connection has ended');
    peer?.close();
  }
});

t.test('a signal, and a failure, end a session at once', async (t) => {
  const { networks } = mesh(t, 2, 0);
  const [one] = networks;
  const controller = new AbortController();
  const session = one?.open(id(5), 'async', controller.signal);
  if (!session) throw new Error('a network');
  const waiting = exchange(session, Uint8Array.of(1));
  controller.abort();
  await t.rejects(waiting, { code: 'CANCELLED' });
  const failing = one?.open(id(6), 'sync', never);
  if (!failing) throw new Error('a network');
  const stuck = exchange(failing, Uint8Array.of(1));
  failing.fail(new KmsError('TASK_FAILED', 'no more'));
  await t.rejects(stuck, { code: 'TASK_FAILED' });
});
