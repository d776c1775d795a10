/** Transports: who may come near, what dialling says when it fails, and streams that keep half-close. */
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Duplex, duplexPair } from 'node:stream';
import t from 'tap';
import { parseTcpAddress, sourceOf, tcpDial, tcpTransport } from '../../../../attestation/mesh/transport-tcp.ts';
import { unixDial, unixTransport } from '../../../../attestation/mesh/transport-unix.ts';
import { type VsockNative, vsockDial, vsockTransport } from '../../../../attestation/mesh/transport-vsock.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const signal = () => AbortSignal.timeout(60_000);
const ignore = (): void => undefined;

t.test('a Unix socket is for its owner alone, and its folder is made so', async (t) => {
  const path = join(tempDir(t), 'run', 's');
  const { promise, resolve } = Promise.withResolvers<[Duplex, string]>();
  const listening = await unixTransport(path).listen((raw, source) => resolve([raw, source]));
  t.equal(listening.address, path);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
  const near = await unixDial(path)(signal());
  const [far, source] = await promise;
  t.equal(source, 'unix');
  near.end('to you');
  far.write('to me');
  const [[heard], [answer]] = await Promise.all([once(far, 'data'), once(near, 'data')]);
  t.same([String(heard), String(answer)], ['to you', 'to me'], 'either end may close its half');
  await listening.close();
  far.destroy();
  t.notOk(existsSync(path), 'the file goes with the listener');
});

t.test('a folder that others may enter is refused, and left as it is', async (t) => {
  const folder = join(tempDir(t), 'open');
  mkdirSync(folder);
  chmodSync(folder, 0o755);
  await t.rejects(unixTransport(join(folder, 's')).listen(ignore), { code: 'STATE_INVALID', message: /chmod 700/ });
  t.equal(statSync(folder).mode & 0o777, 0o755);
});

t.test('a path that is too long is refused with its length', async (t) => {
  const path = join(tempDir(t), 'x'.repeat(108));
  await t.rejects(unixTransport(path).listen(ignore), { code: 'CONFIG_INVALID', facts: { sizeBytes: path.length } });
});

t.test('a socket file that nobody serves is replaced, one that answers is not', async (t) => {
  const path = join(tempDir(t), 's');
  writeFileSync(path, '');
  const first = await unixTransport(path).listen((raw) => raw.destroy());
  await t.rejects(unixTransport(path).listen(ignore), { code: 'UNAVAILABLE', message: /another process/ });
  await first.close();
  const second = await unixTransport(path).listen(ignore);
  await second.close();
});

t.test('dialling says why it failed, and nothing outlives its signal but an open stream', async (t) => {
  const path = join(tempDir(t), 's');
  await t.rejects(unixDial(path)(signal()), { code: 'UNAVAILABLE', message: /nobody listens there/ });
  await t.rejects(unixDial(path)(AbortSignal.abort()), { code: 'CANCELLED' });
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const stop = new AbortController();
  const stream = await tcpDial({ host: '127.0.0.1', port })(stop.signal);
  t.teardown(() => stream.destroy());
  stop.abort();
  t.notOk(stream.destroyed, 'an open stream outlives it');
  server.close();
  const dialling = new AbortController();
  // Reserved for documentation: whatever is there, it does not answer at once.
  const attempt = tcpDial({ host: '192.0.2.1', port: 9 })(dialling.signal);
  dialling.abort();
  await t.rejects(attempt, { code: 'UNAVAILABLE' });
});

t.test('TCP names the source without its port, so that one host is one source', async (t) => {
  const sources: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const listening = await tcpTransport({ host: '127.0.0.1', port: 0 }).listen((raw, source) => {
    raw.destroy();
    if (sources.push(source) === 2) resolve();
  });
  const to = parseTcpAddress(listening.address);
  for (let times = 0; times < 2; times++) (await tcpDial(to)(signal())).on('error', ignore).resume();
  await promise;
  t.same(sources, ['127.0.0.1', '127.0.0.1']);
  await t.rejects(tcpTransport(to).listen(ignore), { code: 'UNAVAILABLE', message: /EADDRINUSE/ });
  await listening.close();
});

t.test('an IPv6 network is one source: its host has all of it', async (t) => {
  for (const [address, source] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8::5', '2001:db8:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::1', '0:0:0:0'],
  ] as const) {
    t.equal(sourceOf(address), source, address);
  }
});

t.test('addresses are read strictly', async (t) => {
  t.same(parseTcpAddress('engine.example:50200'), { host: 'engine.example', port: 50_200 });
  t.same(parseTcpAddress('[::1]:1'), { host: '::1', port: 1 });
  for (const bad of ['', 'host', ':1', 'host:', 'host:70000', '::1:5', '[::1]', 'a b:1', 'host:1:2', 'host:-1']) {
    t.throws(() => parseTcpAddress(bad), { code: 'CONFIG_INVALID' }, bad);
  }
});

t.test('vsock goes through the native part that is passed in', async (t) => {
  const [near, far] = duplexPair();
  const calls: unknown[] = [];
  const native: VsockNative = {
    vsockConnect: async ({ cid, port, timeoutMs, signal: stop }) => {
      calls.push(['connect', cid, port, timeoutMs, stop instanceof AbortSignal]);
      return near as Socket;
    },
    vsockListen: async (at, onSocket) => {
      calls.push(['listen', at]);
      onSocket(far as Socket, 16, 1023);
      return { close: () => void calls.push(['close']) };
    },
  };
  const taken: unknown[] = [];
  const listening = await vsockTransport(native, { port: 5000 }).listen((raw, source) =>
    taken.push(raw === far, source),
  );
  t.equal(await vsockDial(native, { cid: 3, port: 5000 })(signal()), near);
  t.equal(listening.address, 'any:5000');
  await listening.close();
  t.same(taken, [true, 'cid 16']);
  t.same(calls, [['listen', { port: 5000 }], ['connect', 3, 5000, 5000, true], ['close']]);
});
