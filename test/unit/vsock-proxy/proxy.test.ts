/**
 * A proxy between a guest and the world: ways in, ways out, limits, and what a new configuration does to connections.
 */
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { tempDir } from '../../helpers/temp-dir.ts';
import { closedPort, dial, outside, runningProxy, until } from './running-proxy.ts';

const answering = (socket: Socket): void => void text(socket).then((said) => socket.end(`heard ${said}`));

/** Says something, ends, and gives back all that comes. */
async function ask(socket: Socket, said: string): Promise<string> {
  socket.end(said);
  return await text(socket).catch((error: NodeJS.ErrnoException) => `${error.code}`);
}

/** The status line of what a CONNECT is answered, and what follows. */
async function ended(socket: Socket): Promise<string> {
  return await text(socket).catch((error: NodeJS.ErrnoException) => `${error.code}`);
}

t.test('a Unix socket and a TCP port of the parent lead into the enclave', async (t) => {
  const socketPath = `${tempDir(t)}/engine.sock`;
  const port = await closedPort();
  const { guest, figure } = await runningProxy(t, () => ({
    route: [
      { name: 'core', from: `unix:${socketPath}`, to: 'vsock:7100' },
      { name: 'mesh', from: `tcp:127.0.0.1:${port}`, to: 'vsock:7101' },
    ],
  }));
  guest.serve(7100, answering);
  guest.serve(7101, answering);
  t.equal(statSync(socketPath).mode & 0o777, 0o600);
  t.equal(await ask(await dial(t, socketPath), 'core'), 'heard core');
  t.equal(await ask(await dial(t, port), 'a peer'), 'heard a peer');
  // Another thread relays and counts: an answer may be here before its bytes are.
  for (const [name, value] of [
    ['kms_proxy_bytes_total{route="core",direction="up"}', 4],
    ['kms_proxy_bytes_total{route="core",direction="down"}', 10],
    ['kms_proxy_ended_total{route="core",outcome="orderly"}', 1],
    ['kms_proxy_connections{route="mesh"}', 0],
  ] as const) {
    await until(async () => (await figure(name)) === value);
  }
});

t.test('the enclave reaches what a route names, and nothing it does not', async (t) => {
  const port = await outside(t, answering);
  const { guest } = await runningProxy(t, () => ({
    route: [{ name: 'out', from: 'vsock:7003', to: `tcp:127.0.0.1:${port}` }],
  }));
  t.equal(await ask(await guest.dial(7003), 'inside'), 'heard inside');
  await t.rejects(guest.dial(7004), { code: 'ENOENT' });
});

t.test('a connection names its target, and what it says right away goes with it', async (t) => {
  const port = await outside(t, answering);
  const { guest } = await runningProxy(t, () => ({
    route: [{ name: 'egress', from: 'vsock:7002', to: 'connect', allow: [`localhost:${port}`] }],
  }));
  const socket = await guest.dial(7002);
  t.equal(await ask(socket, `CONNECT localhost:${port} HTTP/1.1\r\n\r\nhello`), 'HTTP/1.1 200 OK\r\n\r\nheard hello');
});

t.test('a head may come a byte at a time', async (t) => {
  const port = await outside(t, answering);
  const { guest } = await runningProxy(t, () => ({
    route: [{ name: 'egress', from: 'vsock:7002', to: 'connect', allow: [`127.0.0.1:${port}`] }],
  }));
  const socket = await guest.dial(7002);
  for (const byte of `CONNECT 127.0.0.1:${port} HTTP/1.1\r\n\r\n`) {
    socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const [established] = await once(socket, 'data');
  t.equal(String(established), 'HTTP/1.1 200 OK\r\n\r\n');
  t.equal(await ask(socket, 'hello'), 'heard hello');
});

t.test('each way to be refused has its answer, and is counted', async (t) => {
  const [port, nobody] = [await outside(t, answering), await closedPort()];
  const { guest, figure, proxy } = await runningProxy(t, () => ({
    route: [
      { name: 'egress', from: 'vsock:7002', to: 'connect', allow: [`127.0.0.1:${nobody}`], connect_timeout_ms: 2_000 },
      { name: 'hasty', from: 'vsock:7005', to: 'connect', allow: [`127.0.0.1:${nobody}`], connect_timeout_ms: 20 },
    ],
  }));
  for (const [on, said, status, outcome] of [
    [7002, `CONNECT 127.0.0.1:${port} HTTP/1.1\r\n\r\n`, 403, 'denied'],
    [7002, `CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n`, 403, 'denied'],
    [7002, `CONNECT 127.0.0.1:${nobody} HTTP/1.1\r\n\r\n`, 502, 'unreachable'],
    [7002, 'GET / HTTP/1.1\r\n\r\n', 400, 'malformed'],
    [7002, `CONNECT ${'a'.repeat(5000)}`, 400, 'malformed'],
    [7002, '\x16\x03\x01 a TLS hello\r\n\r\n', 400, 'malformed'],
    [7005, 'CONNECT 127.0.0.1', 504, 'timeout'],
  ] as const) {
    const socket = await guest.dial(on);
    socket.write(said);
    t.match(await ended(socket), new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(said.slice(0, 40)));
    const route = on === 7002 ? 'egress' : 'hasty';
    t.ok((await figure(`kms_proxy_ended_total{route="${route}",outcome="${outcome}"}`)) > 0, outcome);
  }
  await until(() => proxy.size === 0);
  t.pass('none is left open');
});

t.test('a client that ends before it has said where to go is refused', async (t) => {
  const { guest, figure } = await runningProxy(t, () => ({
    route: [{ name: 'egress', from: 'vsock:7002', to: 'connect', allow: ['127.0.0.1:1'] }],
  }));
  t.match(await ask(await guest.dial(7002), 'CONNECT 127'), /^HTTP\/1\.1 400 /);
  t.match(await ask(await guest.dial(7002), ''), /^HTTP\/1\.1 400 /);
  t.equal(await figure('kms_proxy_ended_total{route="egress",outcome="malformed"}'), 2);
});

t.test('more connections than a route may have are closed at once, also from one source', async (t) => {
  const socketPath = `${tempDir(t)}/engine.sock`;
  const port = await closedPort();
  const { guest, proxy, figure } = await runningProxy(t, () => ({
    route: [
      { name: 'core', from: `unix:${socketPath}`, to: 'vsock:7100', max_connections: 3 },
      { name: 'mesh', from: `tcp:127.0.0.1:${port}`, to: 'vsock:7100', max_per_source: 2 },
      { name: 'egress', from: 'vsock:7002', to: 'connect', allow: ['127.0.0.1:1'], max_connections: 1 },
    ],
  }));
  guest.serve(7100, () => undefined);
  for (let i = 0; i < 3; i++) await dial(t, socketPath);
  for (let i = 0; i < 2; i++) await dial(t, port);
  await guest.dial(7002);
  await until(() => proxy.size === 6);
  t.equal(await ended(await dial(t, socketPath)), '');
  t.match(await ended(await dial(t, port)), /^(ECONNRESET)?$/);
  t.match(await ended(await guest.dial(7002)), /^HTTP\/1\.1 503 /);
  for (const route of ['core', 'mesh', 'egress']) {
    t.equal(await figure(`kms_proxy_ended_total{route="${route}",outcome="full"}`), 1, route);
    t.ok((await figure(`kms_proxy_connections{route="${route}"}`)) > 0, route);
  }
});

t.test('a way into an enclave that does not answer ends in time, and the next one works', async (t) => {
  const socketPath = `${tempDir(t)}/engine.sock`;
  const { guest, figure } = await runningProxy(t, () => ({
    route: [{ name: 'core', from: `unix:${socketPath}`, to: 'vsock:7100' }],
  }));
  t.match(await ended(await dial(t, socketPath)), /^(ECONNRESET)?$/);
  t.equal(await figure('kms_proxy_ended_total{route="core",outcome="unreachable"}'), 1);
  guest.serve(7100, answering);
  t.equal(await ask(await dial(t, socketPath), 'again'), 'heard again');
});

t.test('idle connections are closed', async (t) => {
  const socketPath = `${tempDir(t)}/engine.sock`;
  const { guest, figure } = await runningProxy(t, () => ({
    route: [{ name: 'core', from: `unix:${socketPath}`, to: 'vsock:7100', idle_timeout_ms: 30 }],
  }));
  guest.serve(7100, () => undefined);
  t.equal(await ended(await dial(t, socketPath)), '');
  await until(async () => (await figure('kms_proxy_ended_total{route="core",outcome="idle"}')) === 1);
  t.pass('and counted');
});

t.test('a proxy whose last route cannot listen starts none', async (t) => {
  const folder = tempDir(t);
  const port = await outside(t, answering);
  const routes = [
    { name: 'core', from: `unix:${folder}/engine.sock`, to: 'vsock:7100' },
    { name: 'mesh', from: `tcp:127.0.0.1:${port}`, to: 'vsock:7101' },
  ];
  await t.rejects(
    runningProxy(t, () => ({ route: routes })),
    { code: 'UNAVAILABLE' },
  );
  t.notOk(existsSync(`${folder}/engine.sock`));
});
