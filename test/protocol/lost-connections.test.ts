/**
 * Sessions whose connections are lost under way, as when certificates end on a machine that stood still: wherever that
 * happens, what was lost comes on the next connection, and the protocol ends as if nothing had happened.
 */
import { duplexPair } from 'node:stream';
import t, { type Test } from 'tap';
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { exchange } from '../../enclave/mpc/exchange.ts';
import { meshNetwork } from '../../enclave/mpc/mesh-session.ts';
import { beginSession } from '../../enclave/mpc/protocols/begin-session.ts';
import { flipCoin } from '../../enclave/mpc/protocols/coin-flip.ts';
import type { SessionNetwork } from '../../enclave/mpc/session.ts';
import { linkMesh, TEST_PURPOSE } from '../helpers/link-mesh.ts';
import { smallRing } from '../helpers/small-ring.ts';

const never = new AbortController().signal;

/** What a connection carries, both ways, before it is lost with everything that is on its way. */
interface Connections {
  readonly lifeBytes: number;
  /** How many were lost. */
  lost: number;
}

/** Connects two links, and again whenever their connection is lost, `times` times. */
function connect(a: FrameLink, b: FrameLink, connections: Connections, times: number): void {
  const [left, right] = duplexPair();
  let carried = 0;
  for (const end of [left, right]) {
    const write = end._write.bind(end);
    end._write = (chunk, encoding, done) => {
      carried += chunk.byteLength;
      if (carried <= connections.lifeBytes || times === 0) {
        write(chunk, encoding, done);
        return;
      }
      left.destroy();
      right.destroy();
    };
  }
  const channels = [a.attach(left), b.attach(right)];
  void Promise.all(channels.map(({ closed }) => closed)).then(() => {
    if (times === 0) return;
    connections.lost += 1;
    connect(a, b, connections, times - 1);
  });
}

/** Four parties whose connections are lost three times each. */
function fragileMesh(t: Test, lifeBytes: number) {
  const connections: Connections = { lifeBytes, lost: 0 };
  const links = linkMesh(t, 4, (a, b) => connect(a, b, connections, 3));
  const networks = [...links].map(([me, ofParty]) =>
    meshNetwork({ me, n: 4, t: 1, links: ofParty, clock: systemClock, roundTimeoutMs: 20_000 }),
  );
  return { networks, connections };
}

async function coin(network: SessionNetwork) {
  const session = await beginSession(network, TEST_PURPOSE, systemRandom, never);
  const value = await flipCoin(session, smallRing(systemRandom));
  session.end();
  return { id: session.id, value, corrupt: [...session.corrupt], faults: session.faults };
}

t.test('wherever connections are lost, nobody is taken for silent and all agree', async (t) => {
  let lost = 0;
  for (let lifeBytes = 60; lifeBytes < 6_000; lifeBytes += 89) {
    const { networks, connections } = fragileMesh(t, lifeBytes);
    const coins = await Promise.all(networks.map(coin));
    lost += connections.lost;
    t.same(coins, new Array(4).fill({ ...coins[0], corrupt: [], faults: [] }), `after ${lifeBytes} bytes`);
  }
  t.ok(lost > 500, `${lost} connections were lost`);
});

t.test('messages of many frames come whole, whichever piece was lost', async (t) => {
  for (let lifeBytes = 100_000; lifeBytes < 2_500_000; lifeBytes += 412_345) {
    const { networks, connections } = fragileMesh(t, lifeBytes);
    const rounds = await Promise.all(
      networks.map(async (network) => {
        const session = await beginSession(network, TEST_PURPOSE, systemRandom, never);
        const values = await exchange(session, () => new Uint8Array(1_300_000).fill(network.me));
        await exchange(session, Uint8Array.of(network.me));
        session.end();
        return [...values].map(([party, value]) => [party, value.byteLength, value.every((byte) => byte === party)]);
      }),
    );
    const whole = [1, 2, 3, 4].map((party) => [party, 1_300_000, true]);
    for (const round of rounds) t.same(round.sort(), whole, `after ${lifeBytes} bytes`);
    t.ok(connections.lost >= 6, `${connections.lost} connections were lost`);
  }
});
