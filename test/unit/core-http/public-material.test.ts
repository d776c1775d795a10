/** Public material over HTTP, as S3 readers, browsers and enemies ask for it. */
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { createLogger } from '../../../common/log.ts';
import { servePublicMaterial } from '../../../parent/core/http/public-material.ts';
import { openDigestCache } from '../../../parent/core/objects/digest-cache.ts';
import { startPublicDigest } from '../../../parent/core/objects/public-digest.ts';
import { PublicObjects } from '../../../parent/core/objects/public-objects.ts';
import { openVaultStorage } from '../../../storage/open-storage.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const ID = 'ab'.repeat(32);
const CONTENT = Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * 31) % 251));

async function start(t: Test, limits?: { maxConnections: number; idleMs: number }) {
  const root = t.testdir({});
  const vault = { file: { path: root, prefix: 'PUB' } };
  const { storage, stamp } = await openVaultStorage(vault, { aws: undefined, folderMode: 0o755, log });
  const cache = openDigestCache(join(root, 'digests.sqlite'));
  const objects = new PublicObjects({ storage, cache, fingerprint: (type, id) => stamp([type, id]) });
  await storage.put(['PublicKey', ID], CONTENT);
  const server = await servePublicMaterial(
    { host: '127.0.0.1', port: 0, setting: 'public_http.listen_port' },
    { objects, bucket: 'kms', prefix: 'PUB', ...(limits ? { limits } : {}) },
  );
  t.teardown(async () => {
    await server.close(0);
    cache.close();
  });
  return { root, storage, objects, server, url: `${server.url}/kms/PUB/PublicKey/${ID}` };
}

/** A request whose target goes out exactly as written. */
async function raw(port: number, path: string, method = 'GET'): Promise<{ status: number; body: string }> {
  const request = httpRequest({ port, host: '127.0.0.1', path, method });
  request.end();
  const [response] = await once(request, 'response');
  let body = '';
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode, body };
}

t.test('serves an object whole, with its digest as entity tag', async (t) => {
  const { url } = await start(t);
  const response = await fetch(url);
  const digest = toHex(startPublicDigest('PublicKey').update(CONTENT).digest());
  t.equal(response.status, 200);
  t.equal(response.headers.get('content-type'), 'application/octet-stream');
  t.equal(response.headers.get('content-length'), String(CONTENT.length));
  t.equal(response.headers.get('etag'), `"${digest}"`);
  t.equal(response.headers.get('access-control-allow-origin'), '*');
  t.ok(CONTENT.equals(Buffer.from(await response.arrayBuffer())), 'same bytes');
});

t.test('HEAD has the same headers and no body', async (t) => {
  const { url } = await start(t);
  const response = await fetch(url, { method: 'HEAD' });
  t.equal(response.status, 200);
  t.equal(response.headers.get('content-length'), String(CONTENT.length));
  t.equal((await response.arrayBuffer()).byteLength, 0);
});

t.test('serves parts', async (t) => {
  const { url } = await start(t);
  const part = await fetch(url, { headers: { range: 'bytes=262140-262150' } });
  t.equal(part.status, 206);
  t.equal(part.headers.get('content-range'), `bytes 262140-262150/${CONTENT.length}`);
  t.ok(CONTENT.subarray(262_140, 262_151).equals(Buffer.from(await part.arrayBuffer())));
  const beyond = await fetch(url, { headers: { range: `bytes=${CONTENT.length}-` } });
  t.equal(beyond.status, 416);
  t.equal(beyond.headers.get('content-range'), `bytes */${CONTENT.length}`);
  t.match(await beyond.text(), '<Code>InvalidRange</Code>');
});

t.test('a part of an older version is not mixed with the present one', async (t) => {
  const { url } = await start(t);
  const range = { range: 'bytes=0-9' };
  t.equal((await fetch(url, { headers: { ...range, 'if-range': '"00"' } })).status, 200, 'other tag: the whole');
  const etag = (await fetch(url, { method: 'HEAD' })).headers.get('etag') ?? '';
  t.equal((await fetch(url, { headers: { ...range, 'if-range': etag } })).status, 206, 'same tag: the part');
});

t.test('answers 304 to a client that has the object', async (t) => {
  const { url } = await start(t);
  const etag = (await fetch(url, { method: 'HEAD' })).headers.get('etag') ?? '';
  for (const header of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
    t.equal((await fetch(url, { headers: { 'if-none-match': header } })).status, 304, header);
  }
  t.equal((await fetch(url, { headers: { 'if-none-match': '"x"' } })).status, 200, 'another tag');
  t.equal((await fetch(url, { headers: { 'if-match': '"x"' } })).status, 412, 'a client that wants another object');
  t.equal((await fetch(url, { headers: { 'if-match': '*' } })).status, 200, 'any object');
});

t.test('absent objects, buckets and types are 404 in the words of S3', async (t) => {
  const { server } = await start(t);
  const cases = [
    [`/kms/PUB/PublicKey/${'cd'.repeat(32)}`, 'NoSuchKey'],
    [`/kms/PRIV/PublicKey/${ID}`, 'NoSuchKey'],
    [`/kms/PUB/FhePrivateKey/${ID}`, 'NoSuchKey'],
    [`/kms/PUB/publickey/${ID}`, 'NoSuchKey'],
    [`/kms/PUB/PublicKey/${ID}/`, 'NoSuchKey'],
    ['/kms/PUB/PublicKey/', 'NoSuchKey'],
    ['/kms', 'NoSuchKey'],
    [`/other/PUB/PublicKey/${ID}`, 'NoSuchBucket'],
    ['/', 'NoSuchBucket'],
  ] as const;
  for (const [path, code] of cases) {
    const { status, body } = await raw(server.port, path);
    t.equal(status, 404, path);
    t.match(body, `<Code>${code}</Code>`, path);
  }
});

t.test('no spelling of a path climbs out of the vault', async (t) => {
  const { server, root } = await start(t);
  await mkdir(join(root, 'PRIV'));
  await writeFile(join(root, 'PRIV', 'secret'), 'SECRET');
  for (const path of [
    '/kms/PUB/../PRIV/secret',
    '/kms/PUB/PublicKey/../../PRIV/secret',
    '/kms/PUB/%2e%2e/PRIV/secret',
    '/kms/PUB/PublicKey/..%2f..%2fPRIV%2fsecret',
    '/kms/PUB/PublicKey/..\\..\\PRIV\\secret',
    '/kms/PUB//PublicKey/x',
    '//kms/PUB/PublicKey/x',
    '/kms/PUB/.tmp/x',
    '/kms/PUB/PublicKey/%00',
    `http://elsewhere/kms/PUB/PublicKey/${ID}`,
  ]) {
    const { status, body } = await raw(server.port, path);
    t.equal(status, 404, path);
    t.notMatch(body, 'SECRET', path);
  }
});

t.test('nothing a client sends as a path is answered with anything but a clean status', async (t) => {
  const { server } = await start(t);
  const target = fc.stringMatching(/^\/[\x21-\x7e]{0,60}$/);
  await fc.assert(
    fc.asyncProperty(target, async (path) => [200, 404].includes((await raw(server.port, path)).status)),
    { numRuns: 60 },
  );
  t.pass('1 property');
});

t.test('refuses methods that would write', async (t) => {
  const { server, url, storage } = await start(t);
  for (const method of ['PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS']) {
    const response = await fetch(url, { method });
    t.equal(response.status, 405, method);
    t.equal(response.headers.get('allow'), 'GET, HEAD', method);
  }
  t.equal((await raw(server.port, '/kms/PUB/PublicKey/x', 'PUT')).status, 405);
  t.equal(await storage.size(['PublicKey', ID]), CONTENT.length, 'untouched');
});

t.test('refuses an object that is not what the engine signed, and names it', async (t) => {
  const { objects, url } = await start(t);
  objects.expect([{ type: 'PublicKey', id: ID, digest: new Uint8Array(32) }]);
  const response = await fetch(url);
  t.equal(response.status, 500);
  t.match(await response.text(), '<Code>InternalError</Code>');
  t.match(objects.faults(), [/^public object PublicKey\/abab.* has digest/]);
});

t.test('hostile bytes on the socket end in a 400 or a cut, and the server lives', async (t) => {
  const { server, url } = await start(t);
  const attacks = [
    'GARBAGE\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`,
    'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\u0000\u0000\u0000\u0000',
  ];
  for (const attack of attacks) {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end(attack);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    await once(socket, 'close');
    t.match(answer, /^(HTTP\/1\.1 4\d\d|$)/, JSON.stringify(attack.slice(0, 40)));
  }
  t.equal((await fetch(url, { method: 'HEAD' })).status, 200, 'still serving');
});

t.test('holds no more connections than it was told, and cuts those on which nothing moves', async (t) => {
  const { server, url } = await start(t, { maxConnections: 2, idleMs: 300 });
  const idle = [connect(server.port, '127.0.0.1'), connect(server.port, '127.0.0.1')];
  await Promise.all(idle.map((socket) => once(socket, 'connect')));
  const extra = connect(server.port, '127.0.0.1');
  extra.on('error', () => undefined);
  await once(extra, 'close');
  t.pass('the third was dropped');
  await Promise.all(idle.map((socket) => once(socket.resume(), 'close')));
  t.equal((await fetch(url, { method: 'HEAD' })).status, 200, 'room again');
});

t.test('a reader that goes away in the middle leaves nothing open', async (t) => {
  const { server, url } = await start(t);
  const stop = new AbortController();
  const response = await fetch(url, { signal: stop.signal });
  t.equal(response.status, 200);
  stop.abort();
  await t.rejects(response.arrayBuffer());
  await server.close(1000);
  t.pass('closed at once');
});

t.test('a taken port is named with the setting that holds it', async (t) => {
  const { server, objects } = await start(t);
  await t.rejects(
    servePublicMaterial(
      { host: '127.0.0.1', port: server.port, setting: 'public_http.listen_port' },
      { objects, bucket: 'kms', prefix: 'PUB' },
    ),
    { code: 'CONFIG_INVALID', message: new RegExp(`port ${server.port} .*taken.*public_http.listen_port`) },
  );
});
