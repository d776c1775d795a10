/**
 * Ten thousand strangers at the door, on each transport: memory stays bounded, peers that are connected notice nothing,
 * and true peers still get in, even from the strangers' own address.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { BUDGET_LIMITS } from '../../attestation/mesh/budget.ts';
import { meshDialer } from '../../attestation/mesh/dialer.ts';
import { listenMesh } from '../../attestation/mesh/listener.ts';
import type { MeshConnection, MeshEndpoint } from '../../attestation/mesh/mesh-context.ts';
import { connected, type Dial } from '../../attestation/mesh/transport.ts';
import { parseTcpAddress, tcpTransport } from '../../attestation/mesh/transport-tcp.ts';
import { unixDial, unixTransport } from '../../attestation/mesh/transport-unix.ts';
import { systemClock } from '../../common/clock.ts';
import { isKmsError } from '../../common/errors.ts';
import { createTestMesh } from '../helpers/mesh-pair.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const CROWD = fileURLToPath(new URL('./mesh-crowd.ts', import.meta.url));
const STRANGERS = 10_000;
/** Growth over the quiet process: sockets and TLS sockets up to the budget, and what the collector leaves lying. */
const MOST_GROWTH_MB = 200;
const EXPECT = { service: 'engine-data', role: 'engine' } as const;

interface Address {
  readonly name: 'tcp' | 'unix';
  readonly crowd: readonly string[];
  /** As the strangers dial, and from an address of its own where there is one. */
  readonly dials: readonly Dial[];
}

const tcpFrom =
  (localAddress: string, port: number): Dial =>
  (signal) =>
    connected(() => connect({ host: '127.0.0.1', port, localAddress }), 'the listener', signal);

async function serve(t: Test, name: 'tcp' | 'unix') {
  const mesh = await createTestMesh(t, { parties: 4 });
  const path = join(tempDir(t), 's');
  const listener = await listenMesh({
    transport: name === 'unix' ? unixTransport(path) : tcpTransport({ host: '127.0.0.1', port: 0 }),
    endpoint: await mesh.endpoint('engine'),
    expect: EXPECT,
    onConnection: ({ stream }) => void stream.pipe(stream),
  });
  t.teardown(() => listener.close());
  if (name === 'unix') return { mesh, listener, address: { name, crowd: [name, path], dials: [unixDial(path)] } };
  const { port } = parseTcpAddress(listener.address);
  const dials = [tcpFrom('127.0.0.1', port), tcpFrom('127.0.0.2', port)];
  return { mesh, listener, address: { name, crowd: [name, String(port)], dials } satisfies Address };
}

/** Starts the crowd. Resolves at once; `arrived` when all have come. */
function startCrowd(t: Test, { crowd }: Address): { readonly arrived: Promise<unknown> } {
  const child = spawn(process.execPath, [CROWD, ...crowd, String(STRANGERS)], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(async () => {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'exit');
  });
  return { arrived: once(createInterface(child.stdout), 'line') };
}

/** Dials until it succeeds, as a peer does; returns the connection, how often it tried and how long it took. */
async function dialAgain(dial: Dial, endpoint: MeshEndpoint) {
  const startedMs = systemClock.monotonicMs();
  for (let attempts = 1; ; attempts++) {
    try {
      const connection = await meshDialer({ dial, endpoint, expect: EXPECT })(AbortSignal.timeout(20_000));
      return { connection, attempts, ms: systemClock.monotonicMs() - startedMs };
    } catch (error) {
      if (!isKmsError(error) || attempts === 10) throw error;
    }
  }
}

async function echo({ stream }: MeshConnection, text: string): Promise<string> {
  stream.write(text);
  const [answer] = await once(stream, 'data');
  return String(answer);
}

for (const name of ['tcp', 'unix'] as const) {
  t.test(`${name}: ${STRANGERS} strangers cost little and keep nobody out`, async (t) => {
    const { mesh, listener, address } = await serve(t, name);
    const [near = t.fail() as never] = address.dials;
    const friend = await dialAgain(near, await mesh.endpoint('engine', { party: 2 }));
    t.equal(await echo(friend.connection, 'before'), 'before');
    const newcomer = await mesh.endpoint('engine', { party: 3 });
    const quietMb = process.memoryUsage().rss / 1e6;
    let mostMb = 0;
    let most = { silent: 0, handshakes: 0 };
    const watch = setInterval(() => {
      const { silent, handshakes } = listener.stats();
      most = { silent: Math.max(most.silent, silent), handshakes: Math.max(most.handshakes, handshakes) };
      mostMb = Math.max(mostMb, process.memoryUsage().rss / 1e6);
    }, 20);
    t.teardown(() => clearInterval(watch));
    const { arrived } = startCrowd(t, address);
    const visits: { attempts: number; ms: number }[] = [];
    for (let turn = 0; listener.stats().accepted < STRANGERS; turn++) {
      const dial = address.dials[turn % address.dials.length] ?? near;
      const { connection, attempts, ms } = await dialAgain(dial, newcomer);
      visits.push({ attempts, ms });
      if ((await echo(connection, `visit ${turn}`)) !== `visit ${turn}`) t.fail('a wrong echo');
      connection.close('seen');
      if ((await echo(friend.connection, `turn ${turn}`)) !== `turn ${turn}`) t.fail('the friend was not served');
    }
    await arrived;
    const stats = listener.stats();
    const slowest = Math.max(...visits.map(({ ms }) => ms));
    const retries = visits.filter(({ attempts }) => attempts > 1).length;
    t.comment(JSON.stringify({ quietMb, mostMb, most, visits: visits.length, retries, slowestMs: slowest, stats }));
    t.ok(stats.accepted >= STRANGERS, `${stats.accepted} came`);
    t.ok(visits.length >= 2, `${visits.length} visits of a true peer, the slowest in ${slowest.toFixed(0)} ms`);
    t.ok(retries * 5 <= visits.length, `${retries} of them took a second attempt`);
    t.ok(most.silent <= BUDGET_LIMITS.silent && most.handshakes <= BUDGET_LIMITS.handshakes, 'within the budget');
    t.ok(mostMb - quietMb < MOST_GROWTH_MB, `grew by ${(mostMb - quietMb).toFixed(0)} MB`);
    t.equal(await echo(friend.connection, 'after'), 'after', 'the connection from before is the same');
    t.equal(stats.verified, visits.length + 1);
  });
}
