/** A whole Core with TLS, as its configuration says it: client port, admin socket, attestation page. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { NodeConfig } from '../../../common/node-config.ts';
import { openKmsClient } from '../../../parent/grpc/client.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';
import { testConfig, testCore } from '../../helpers/test-core.ts';

const ca = makeTestCa();
const clientCa = makeTestCa('Client CA');

function withTls(config: NodeConfig, dir: string): NodeConfig {
  const { cert, key } = ca.issue({ subject: 'localhost' });
  const [cert_path, key_path, client_ca_path] = ['cert.pem', 'key.pem', 'clients.pem'].map((name) => join(dir, name));
  writeFileSync(String(cert_path), cert);
  writeFileSync(String(key_path), key, { mode: 0o600 });
  writeFileSync(String(client_ca_path), clientCa.pem);
  const tls = { cert_path, key_path, client_ca_path, attested: false, allow: { admin: ['ops'] } };
  return { ...config, service: { ...config.service, tls, admin_socket_path: join(dir, 'run', 'admin.sock') } };
}

t.test('serves clients over TLS and operators over the admin socket', async (t) => {
  const dir = tempDir(t);
  const socketPath = join(dir, 'engine.sock');
  const config = withTls(testConfig(dir, socketPath), dir);
  const { core, lines } = await testCore(t, { socketPath, dir, config });
  t.match(core.clientUrl, /^https:/);
  const open = (url: string, tls = {}) => {
    const client = openKmsClient(url, tls);
    t.teardown(() => client.close());
    return client;
  };
  // No engine runs here: whoever may ask hears UNAVAILABLE, others PERMISSION_DENIED.
  await t.rejects(open(core.clientUrl, { ca: ca.pem }).admin('ListPeers', {}), { name: 'GrpcError', status: 7 });
  const ops = { ca: ca.pem, ...clientCa.issue({ subject: 'ops' }) };
  await t.rejects(open(core.clientUrl, ops).admin('ListPeers', {}), { name: 'GrpcError', status: 14 });
  const socket = `unix:${join(dir, 'run', 'admin.sock')}`;
  await t.rejects(open(socket).admin('ListPeers', {}), { name: 'GrpcError', status: 14 });
  await t.rejects(
    open(core.clientUrl.replace('https', 'http')).health(),
    { name: 'GrpcError', status: 14 },
    'plaintext',
  );
  t.ok(lines.some(({ event }) => event === 'tls.loaded'));
  const page = new URL('/attestation?nonce=0011223344556677', core.publicUrl);
  t.equal((await fetch(page)).status, 503, 'the page is there, the engine is not');
});

t.test('an attested port without a mesh is refused, never served in plaintext', async (t) => {
  const dir = tempDir(t);
  const socketPath = join(dir, 'engine.sock');
  const config = testConfig(dir, socketPath);
  const attested = { ...config, service: { ...config.service, tls: { attested: true, allow: {} } } };
  await t.rejects(testCore(t, { socketPath, dir, config: attested }), { code: 'CONFIG_INVALID', message: /attested/ });
});

t.test('a certificate that cannot be served stops the start', async (t) => {
  const dir = tempDir(t);
  const socketPath = join(dir, 'engine.sock');
  const config = withTls(testConfig(dir, socketPath), dir);
  writeFileSync(join(dir, 'key.pem'), 'x');
  await t.rejects(testCore(t, { socketPath, dir, config }), { code: 'CONFIG_INVALID', message: /key\.pem/ });
});
