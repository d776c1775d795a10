/**
 * vsock sockets in whole: TLS on both ends, a process that exits with bytes on their way, one that has nothing to do,
 * and what the true AF_VSOCK can be asked without speaking to anybody.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { TLSSocket, connect as tlsConnect } from 'node:tls';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { makeDeveloperRoot, makeSigningChain } from '../../../attestation/developer/chain.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { fakeVsock, openDescriptors } from './nitro-fake.ts';

const NATIVE = join(import.meta.dirname, '../../../native/nitro');

t.test('TLS 1.3 runs on both ends with native handles', async (t) => {
  const nowMs = Date.now();
  const chain = makeSigningChain(makeDeveloperRoot({ nowMs }), { nowMs, moduleId: 'i-0123456789abcdef0-enc0123' });
  const cert = `-----BEGIN CERTIFICATE-----\n${Buffer.from(chain.leaf).toString('base64')}\n-----END CERTIFICATE-----\n`;
  const key = chain.leafKey.export({ type: 'pkcs8', format: 'pem' });
  const { relay } = fakeVsock(t);
  const digest = createHash('sha256');
  const received = Promise.withResolvers<string>();
  const listener = await relay.listen({ port: 6000, cid: 16 }, (raw) => {
    const secure = new TLSSocket(raw, { isServer: true, cert, key, minVersion: 'TLSv1.3' });
    secure.on('data', (chunk: Buffer) => digest.update(chunk));
    secure.on('end', () => received.resolve(digest.digest('hex')));
    secure.on('error', received.reject);
    secure.on('secure', () => secure.write('hello over TLS'));
  });
  t.teardown(() => listener.close());
  const raw = await relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000 });
  const secure = tlsConnect({ socket: raw, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
  await once(secure, 'secureConnect');
  t.equal(secure.getProtocol(), 'TLSv1.3');
  const [hello] = await once(secure, 'data');
  t.equal(String(hello), 'hello over TLS');
  const block = Buffer.alloc(16 * 1024 * 1024, 0x5a);
  secure.end(block);
  t.equal(await received.promise, createHash('sha256').update(block).digest('hex'), '16 MB arrive intact');
});

/** Runs a program against a remote in this process; gives what the remote read and how the program ended. */
async function runChild(t: Parameters<typeof fakeVsock>[0], body: string, limits = '') {
  const folder = tempDir(t);
  const chunks: Buffer[] = [];
  const ended = Promise.withResolvers<void>();
  const server = createServer((socket: Socket) => {
    socket.on('data', (chunk) => chunks.push(chunk as Buffer));
    socket.on('end', ended.resolve);
    socket.on('error', ended.resolve);
  });
  server.listen(join(folder, '3-5000'));
  await once(server, 'listening');
  t.teardown(() => void server.close());
  const program = `
    const { loadNitro } = await import(${JSON.stringify(`${NATIVE}/binding.ts`)});
    const { VsockRelay } = await import(${JSON.stringify(`${NATIVE}/vsock.ts`)});
    const library = loadNitro('nitro-fake');
    library.useFakeFolder(${JSON.stringify(folder)}, 16);
    const relay = new VsockRelay(library);
    ${body}`;
  const args = ['-c', `${limits} exec "$0" "$@"`, process.execPath, '--input-type=module', '--eval', program];
  const child = spawn('/bin/sh', args, { stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  return { code, ended: ended.promise, read: () => Buffer.concat(chunks) };
}

t.test('a process that exits right after writing has its bytes delivered', async (t) => {
  const { code, ended, read } = await runChild(
    t,
    `const socket = await relay.connect({ cid: 3, port: 5000, timeoutMs: 60_000 });
     socket.write(Buffer.alloc(100_000, 7), () => process.exit(0));`,
  );
  t.equal(code, 0);
  await ended;
  t.equal(read().length, 100_000);
});

t.test('a relay with nothing to do keeps no process alive, and a listener does until it is closed', async (t) => {
  const { code } = await runChild(
    t,
    `const listener = await relay.listen({ cid: 16, port: 6000 }, () => {});
     setImmediate(() => void listener.close());`,
  );
  t.equal(code, 0);
});

t.test('an exit in the midst of connects, listeners and connections is clean', async (t) => {
  const { code } = await runChild(
    t,
    `await relay.listen({ cid: 16, port: 6000 }, (socket) => socket.pipe(socket));
     const all = [];
     for (let i = 0; i < 20; i++) all.push(relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000 }));
     const sockets = await Promise.all(all);
     for (const socket of sockets) { socket.on('error', () => {}); socket.on('data', () => {}); socket.write(Buffer.alloc(1e6)); }
     for (let i = 0; i < 20; i++) void relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000 }).catch(() => {});
     process.exit(3);`,
  );
  t.equal(code, 3);
});

t.test('a process without descriptors left refuses connections, and works again when some are free', async (t) => {
  const { code } = await runChild(
    t,
    `const sockets = new Set();
     const keep = (socket) => { socket.on('error', () => {}); socket.resume(); sockets.add(socket); };
     await relay.listen({ cid: 16, port: 6000 }, keep);
     const dial = () => relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000 });
     const outcomes = await Promise.allSettled(Array.from({ length: 60 }, dial));
     for (const { value } of outcomes) if (value) keep(value);
     const codes = new Set(outcomes.map(({ reason }) => reason?.code));
     if (!codes.has('RESOURCE_EXHAUSTED') || !codes.has(undefined) || codes.size > 2) process.exit(4);
     for (const socket of sockets) socket.destroy();
     for (;;) {
       const socket = await dial().catch(() => undefined);
       if (socket) process.exit(0);
       await new Promise((resolve) => setImmediate(resolve));
       for (const socket of sockets) socket.destroy();
     }`,
    'ulimit -n 96;',
  );
  t.equal(code, 0);
});

t.test('a worker thread that is ended in the midst of its connections takes nothing with it', async (t) => {
  const folder = tempDir(t);
  const program = `
    const { parentPort } = await import('node:worker_threads');
    const { loadNitro } = await import(${JSON.stringify(`${NATIVE}/binding.ts`)});
    const { VsockRelay } = await import(${JSON.stringify(`${NATIVE}/vsock.ts`)});
    const library = loadNitro('nitro-fake');
    library.useFakeFolder(${JSON.stringify(folder)}, 16);
    const relay = new VsockRelay(library);
    await relay.listen({ cid: 16, port: Number(process.argv[2]) }, (socket) => { socket.on('error', () => {}); socket.pipe(socket); });
    for (let i = 0; i < 10; i++) {
      const socket = await relay.connect({ cid: 16, port: Number(process.argv[2]), timeoutMs: 60_000 });
      socket.on('error', () => {});
      socket.on('data', (chunk) => socket.write(chunk));
      socket.write(Buffer.alloc(100_000));
    }
    parentPort.postMessage('running');`;
  const file = join(folder, 'worker.mjs');
  writeFileSync(file, program);
  const before = openDescriptors();
  for (let port = 1; port <= 3; port++) {
    const worker = new Worker(file, { argv: [String(port)] });
    await once(worker, 'message');
    await worker.terminate();
  }
  while (openDescriptors() > before + 4) await new Promise((resolve) => setImmediate(resolve));
  t.pass('and its descriptors are closed');
});

const loopback = existsSync('/sys/module/vsock_loopback');
t.test(
  'AF_VSOCK itself relays over the loopback address',
  { skip: loopback ? false : 'this kernel has no vsock loopback: AF_VSOCK stays untested here' },
  async (t) => {
    const { vsockConnect, vsockListen } = await import('../../../native/nitro/index.ts');
    const echo = await vsockListen({ cid: 1, port: 50_311 }, (socket) => void socket.pipe(socket));
    t.teardown(() => echo.close());
    const socket = await vsockConnect({ cid: 1, port: 50_311, timeoutMs: 60_000 });
    socket.end('ping');
    const [chunk] = await once(socket, 'data');
    t.equal(String(chunk), 'ping');
  },
);
