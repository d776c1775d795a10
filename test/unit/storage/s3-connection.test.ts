/**
 * How a vault reaches S3: through streams that somebody else opens, with TLS inside, and by nothing that the
 * environment says.
 */

import { once } from 'node:events';
import { request } from 'node:http';
import { createServer as createHttps, type Server } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { Duplex } from 'node:stream';
import t, { type Test } from 'tap';
import { startS3, type TestS3 } from '../../helpers/s3.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';
import { bytes, PATH } from './contract.ts';

const ca = makeTestCa('S3 CA');

/** TLS in front of an emulator. The host name goes through, as it is signed. */
async function secured(t: Test, s3: TestS3, certificate = ca.issue({ subject: 'localhost' })): Promise<number> {
  const server: Server = createHttps(certificate, (incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const inner = request({ port: s3.emulator.port, host: '127.0.0.1', method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    inner.on('error', () => outgoing.destroy());
    incoming.pipe(inner);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A stream that is no socket, as a relay would give. */
function relayed(port: number): Duplex {
  const socket = connect(port, '127.0.0.1');
  const stream = new Duplex({
    read: () => void socket.resume(),
    write: (chunk, _encoding, done) => void socket.write(chunk, () => done()),
    final: (done) => void socket.end(done),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (chunk) => void (stream.push(chunk) || socket.pause()));
  socket.on('end', () => stream.push(null));
  socket.on('error', (error) => stream.destroy(error));
  return stream;
}

t.test('TLS ends inside: all that leaves goes through the given streams', async (t) => {
  const s3 = await startS3(t);
  const port = await secured(t, s3);
  const asked: string[] = [];
  const storage = await s3.open({
    developer: { endpoint: `https://localhost:${port}` },
    ca: [ca.pem],
    partBytes: 1024 * 1024,
    connect: (host, toPort) => {
      asked.push(`${host}:${toPort}`);
      return relayed(port);
    },
  });
  const content = new Uint8Array(3_500_000).fill(7);
  t.equal(await storage.put(PATH, content), 'stored', 'parts above two megabytes too');
  t.equal(Buffer.compare(await storage.get(PATH), content), 0);
  t.ok(asked.length > 0);
  t.ok(
    asked.every((address) => address === `localhost:${port}`),
    'and nowhere else',
  );
  t.ok(asked.length < 10, `${asked.length} connections: they are kept`);
});

t.test('a bucket in the host name is what is dialled and signed', async (t) => {
  const s3 = await startS3(t);
  const asked = new Set<string>();
  const storage = await s3.open({
    developer: { endpoint: `http://localhost:${s3.emulator.port}`, pathStyle: false },
    connect: (host) => {
      asked.add(host);
      return connect(s3.emulator.port, '127.0.0.1');
    },
  });
  await storage.put(PATH, bytes('x'));
  t.same([...asked], ['vault.localhost']);
  t.ok(s3.bucket.current('PRIV/PublicKey/aa'));
});

t.test('in production the address is computed from the region', async (t) => {
  const s3 = await startS3(t);
  const { developer: _, ...options } = s3.options;
  const { openS3Storage } = await import('../../../storage/s3/s3-storage.ts');
  for (const [region, host] of [
    ['eu-west-1', 'vault.s3.eu-west-1.amazonaws.com:443'],
    ['cn-north-1', 'vault.s3.cn-north-1.amazonaws.com.cn:443'],
  ] as const) {
    const asked: string[] = [];
    const dial = (name: string, port: number) => {
      asked.push(`${name}:${port}`);
      const stream = new Duplex({ read: () => undefined, write: (_c, _e, done) => done() });
      stream.destroy(Object.assign(new Error('no network'), { code: 'ENETUNREACH' }));
      return stream;
    };
    await t.rejects(openS3Storage({ ...options, region, connect: dial, attempts: 1 }), { code: 'UNAVAILABLE' });
    t.same([...new Set(asked)], [host]);
  }
});

t.test('a certificate that is not the store’s is refused', async (t) => {
  const s3 = await startS3(t);
  const port = await secured(t, s3);
  const endpoint = `https://localhost:${port}`;
  const stranger = makeTestCa('Another CA');
  const message = /certificate of S3 is not one that is trusted/;
  await t.rejects(s3.open({ developer: { endpoint }, ca: [stranger.pem] }), { code: 'PERMISSION_DENIED', message });
  await t.rejects(s3.open({ developer: { endpoint } }), { code: 'PERMISSION_DENIED', message }, 'public authorities');
  const wrongName = {
    developer: { endpoint: `https://s3.example:${port}` },
    ca: [ca.pem],
    connect: () => relayed(port),
  };
  await t.rejects(s3.open(wrongName), { code: 'PERMISSION_DENIED', message }, 'another name');
  const old = ca.issue({
    subject: 'localhost',
    notBeforeMs: Date.now() - 7_200_000,
    notAfterMs: Date.now() - 3_600_000,
  });
  const oldPort = await secured(t, s3, old);
  const expired = { developer: { endpoint: `https://localhost:${oldPort}` }, ca: [ca.pem] };
  await t.rejects(s3.open(expired), { code: 'PERMISSION_DENIED', message }, 'expired');
});

t.test('what answers there but is no S3 is told', async (t) => {
  const s3 = await startS3(t);
  const port = await secured(t, s3);
  await t.rejects(s3.open({ developer: { endpoint: `http://localhost:${port}` } }), { code: 'UNAVAILABLE' }, 'TLS');
  await t.rejects(
    s3.open({ developer: { endpoint: `https://localhost:${s3.emulator.port}` }, ca: [ca.pem] }),
    { code: 'UNAVAILABLE' },
    'no TLS',
  );
});

t.test('the environment has no say', async (t) => {
  const s3 = await startS3(t);
  const evil: Record<string, string> = {
    AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
    AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9',
    AWS_REGION: 'us-gov-west-1',
    AWS_ACCESS_KEY_ID: 'AKIDEVIL',
    AWS_SECRET_ACCESS_KEY: 'evil',
    AWS_PROFILE: 'evil',
    AWS_CONFIG_FILE: '/dev/null/none',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null/none',
    AWS_MAX_ATTEMPTS: '9',
    AWS_RETRY_MODE: 'adaptive',
    AWS_USE_FIPS_ENDPOINT: 'true',
    AWS_USE_DUALSTACK_ENDPOINT: 'true',
    AWS_S3_USE_ARN_REGION: 'true',
    AWS_REQUEST_CHECKSUM_CALCULATION: 'WHEN_SUPPORTED',
    AWS_RESPONSE_CHECKSUM_VALIDATION: 'WHEN_SUPPORTED',
    AWS_AUTH_SCHEME_PREFERENCE: 'sigv4a',
    HTTPS_PROXY: 'http://127.0.0.1:9',
    HTTP_PROXY: 'http://127.0.0.1:9',
  };
  const before = Object.fromEntries(Object.keys(evil).map((name) => [name, process.env[name]]));
  Object.assign(process.env, evil);
  t.teardown(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
  const storage = await s3.open();
  t.equal(await storage.put(PATH, bytes('x')), 'stored');
  t.same(await storage.get(PATH), bytes('x'));
});
