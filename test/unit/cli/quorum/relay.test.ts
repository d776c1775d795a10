/** One port for all parties' public material: what is passed on, and what hostile clients get. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { startPublicRelay } from '../../../../parent/cli/quorum/public-relay.ts';
import type { Teardown } from '../../../helpers/temp-dir.ts';

interface Seen {
  readonly party: number;
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingMessage['headers'];
}

/** Three parties whose Cores write down what they are asked. */
async function relayOf(t: Teardown) {
  const seen: Seen[] = [];
  const servers: Server[] = [];
  const targets = new Map<number, number>();
  for (const party of [1, 2, 3]) {
    const server = createServer((request, response) => {
      seen.push({ party, method: request.method, url: request.url, headers: request.headers });
      if (request.headers.range !== undefined) {
        response.writeHead(206, { 'content-range': 'bytes 0-1/6', 'content-length': 2 }).end('pa');
        return;
      }
      response.writeHead(request.url?.includes('missing') ? 404 : 200, { etag: `"${party}"` });
      response.end(`party${party}`);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    targets.set(party, typeof address === 'object' && address !== null ? address.port : 0);
    servers.push(server);
  }
  const relay = await startPublicRelay({ port: 0, targets });
  t.teardown(async () => {
    await relay.close();
    for (const server of servers) server.close();
    for (const server of servers) server.closeAllConnections();
  });
  return { relay, seen, servers, url: `http://127.0.0.1:${relay.port}` };
}

/** Sends bytes as they are and returns all that comes back. */
async function raw(port: number, bytes: string, isWhole = true): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => {});
  if (isWhole) socket.end(bytes);
  else socket.write(bytes);
  return await text(socket);
}

t.test('each address goes to the Core of its party, with ranges and without a word more', async (t) => {
  const { url, seen } = await relayOf(t);
  const answer = await fetch(`${url}/kms/PUB-p2/VerfAddress/abc`, { headers: { cookie: 'a=b', authorization: 'x' } });
  t.equal(await answer.text(), 'party2');
  t.equal(answer.headers.get('etag'), '"2"');
  t.equal((await fetch(`${url}/kms/PUB-p1/missing`)).status, 404);
  const part = await fetch(`${url}/kms/PUB-p3/PublicKey/abc`, { headers: { range: 'bytes=0-1' } });
  t.equal(part.status, 206);
  t.equal(await part.text(), 'pa');
  t.equal(part.headers.get('content-range'), 'bytes 0-1/6');
  const head = await fetch(`${url}/kms/PUB-p1/PublicKey/abc`, { method: 'HEAD' });
  t.equal(head.status, 200);
  t.strictSame(
    seen.map(({ party, method }) => `${method} ${party}`),
    ['GET 2', 'GET 1', 'GET 3', 'HEAD 1'],
  );
  t.notOk(seen.some(({ headers }) => 'cookie' in headers || 'authorization' in headers));
});

t.test('an attestation is asked of the party that is named, which is not told its number', async (t) => {
  const { url, seen } = await relayOf(t);
  await fetch(`${url}/attestation?party=3&nonce=0011`);
  t.match(seen, [{ party: 3, url: '/attestation?nonce=0011' }]);
  for (const query of ['', '?nonce=00', '?party=', '?party=4&nonce=00', '?party=01', '?party=1e0', '?party=-1']) {
    const refused = await fetch(`${url}/attestation${query}`);
    t.equal(refused.status, 400, query);
    t.match(await refused.json(), { error: { code: 'REQUEST_INVALID', message: /name a party of 1 to 3/ } }, query);
  }
  t.equal(seen.length, 1);
});

t.test('what is no address of a party is not passed on', async (t) => {
  const { relay, url, seen } = await relayOf(t);
  const bad = [
    '/',
    '/kms',
    '/kms/PUB',
    '/kms/PUB/x',
    '/kms/PUB-p0/x',
    '/kms/PUB-p4/x',
    '/kms/PUB-p01/x',
    '/kms/PUB-p1x/y',
  ];
  for (const path of [...bad, '/metrics', '/kms/PUB-p9999/x', '/KMS/PUB-p1/x', '//kms/PUB-p1/x']) {
    t.equal((await fetch(`${url}${path}`)).status, 404, path);
  }
  const absolute = await raw(relay.port, 'GET http://127.0.0.1:1/kms/PUB-p1/x HTTP/1.1\r\nhost: x\r\n\r\n');
  t.match(absolute, /^HTTP\/1\.1 404/);
  t.strictSame(seen, []);
});

t.test('other methods, bodies and torn requests reach no Core', async (t) => {
  const { relay, url, seen } = await relayOf(t);
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const answer = await fetch(`${url}/kms/PUB-p1/x`, { method, ...(method === 'POST' ? { body: 'x' } : {}) });
    t.equal(answer.status, 405, method);
    t.equal(answer.headers.get('allow'), 'GET, HEAD');
  }
  t.strictSame(seen, []);
  const inner = 'GET /kms/PUB-p2/y HTTP/1.1\r\nhost: x\r\n\r\n';
  const outer = `GET /kms/PUB-p1/x HTTP/1.1\r\nhost: x\r\ncontent-length: ${inner.length}\r\n\r\n`;
  const smuggled = await raw(relay.port, outer + inner, false);
  t.match(smuggled, /^HTTP\/1\.1 200/);
  t.match(smuggled, /connection: close/i);
  t.strictSame(
    seen.map(({ url: path }) => path),
    ['/kms/PUB-p1/x'],
  );
  for (const bytes of [
    '',
    '\r\n',
    'GET',
    'GET / HTTP/9.9\r\n\r\n',
    '\u0016\u0003\u0001',
    'GET /kms/PUB-p1/a b HTTP/1.1\r\n\r\n',
  ]) {
    t.notMatch(await raw(relay.port, bytes), /^HTTP\/1\.1 200/, JSON.stringify(bytes));
  }
  t.equal((await fetch(`${url}/kms/PUB-p1/x`)).status, 200, 'it goes on serving');
});

t.test('a party that is down is named, the others go on', async (t) => {
  const { url, servers } = await relayOf(t);
  await fetch(`${url}/kms/PUB-p1/x`).then((answer) => answer.text());
  servers[0]?.close();
  servers[0]?.closeAllConnections();
  const down = await fetch(`${url}/kms/PUB-p1/x`);
  t.equal(down.status, 503);
  t.match(await down.text(), /party 1 does not answer/);
  t.equal((await fetch(`${url}/kms/PUB-p2/x`)).status, 200);
});

t.test('a port that is taken is a failure with a cure', async (t) => {
  const { relay } = await relayOf(t);
  await t.rejects(startPublicRelay({ port: relay.port, targets: new Map() }), {
    code: 'PRECONDITION_FAILED',
    facts: { cure: /--public-port/ },
  });
});
