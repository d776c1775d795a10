/** Published clients over TLS: @grpc/grpc-js with and without a client certificate, as users of the KMS have it. */

import { join } from 'node:path';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { tempDir } from '../helpers/temp-dir.ts';
import { makeTestCa, type TestCertificate } from '../helpers/test-ca.ts';
import { startTestCore } from '../unit/core/test-core.ts';

const ca = makeTestCa();
const clientCa = makeTestCa('Client CA');
const material = { ...ca.issue({ subject: 'localhost' }), clientCa: clientCa.pem };
const tls = { current: () => material, onChange: () => () => undefined, close: () => undefined };
const CORE = '/kms_service.v1.CoreServiceEndpoint';

/** Calls with an empty message. @returns The status number. */
function call(t: Test, port: number, path: string, certificate?: TestCertificate, root = ca.pem): Promise<number> {
  const own = certificate ? ([Buffer.from(certificate.key), Buffer.from(certificate.cert)] as const) : ([] as const);
  const channel = credentials.createSsl(Buffer.from(root), ...own);
  const client = new Client(`localhost:${port}`, channel, { 'grpc.max_reconnect_backoff_ms': 1000 });
  t.teardown(() => client.close());
  const same = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve) => {
    const done = (error: ServiceError | null): void => resolve(error?.code ?? 0);
    const options = { deadline: Date.now() + 5000 };
    client.makeUnaryRequest(path, same, same, Buffer.alloc(0), new Metadata(), options, done);
  });
}

t.test('grpc-js reaches the node over TLS, with and without a client certificate', async (t) => {
  const { core } = await startTestCore(t, { insecure: false, access: { tls, allow: { admin: ['ops'] } } });
  const { port } = core.address;
  const ops = clientCa.issue({ subject: 'ops' });
  t.equal(await call(t, port, '/grpc.health.v1.Health/Check'), 0);
  t.equal(await call(t, port, '/grpc.health.v1.Health/Check', ops), 0);
  t.equal(await call(t, port, `${CORE}/PublicDecrypt`), 3, 'an empty request is judged, not the caller');
  t.equal(await call(t, port, `${CORE}/DestroyMpcContext`), 7);
  t.equal(await call(t, port, `${CORE}/DestroyMpcContext`, clientCa.issue({ subject: 'relayer' })), 7);
  t.not(await call(t, port, `${CORE}/DestroyMpcContext`, ops), 7);
});

t.test('grpc-js administers the node over its socket', async (t) => {
  const adminSocketPath = join(tempDir(t), 'run', 'admin.sock');
  await startTestCore(t, { insecure: false, access: { adminSocketPath } });
  const client = new Client(`unix:${adminSocketPath}`, credentials.createInsecure());
  t.teardown(() => client.close());
  const status = await new Promise((resolve) => {
    const same = (bytes: Buffer): Buffer => bytes;
    const done = (error: ServiceError | null): void => resolve(error?.code ?? 0);
    client.makeUnaryRequest(`${CORE}/DestroyMpcContext`, same, same, Buffer.alloc(0), new Metadata(), {}, done);
  });
  t.equal(status, 3, 'the request is judged, the caller may');
});

t.test('grpc-js and the node refuse each other for certificates that do not verify', async (t) => {
  const { core } = await startTestCore(t, { insecure: false, access: { tls } });
  const { port } = core.address;
  t.equal(await call(t, port, '/grpc.health.v1.Health/Check', undefined, makeTestCa().pem), 14, 'the server');
  t.equal(
    await call(t, port, '/grpc.health.v1.Health/Check', makeTestCa().issue({ subject: 'ops' })),
    14,
    'the client',
  );
  t.equal(await call(t, port, '/grpc.health.v1.Health/Check'), 0, 'and serves others');
});
