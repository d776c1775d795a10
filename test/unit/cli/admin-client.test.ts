/** The operator's connection: over the socket or a certificate, and failures that say what to do. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { openAdminClient, withAdmin } from '../../../parent/cli/client/admin-client.ts';
import { withNode } from '../../../parent/cli/client/session.ts';
import { writeNodeFile } from '../../../parent/cli/supervise/node-file.ts';
import { GovernanceStateSchema, PeerTableSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';
import { startTestCore, type TestCore } from '../core/test-core.ts';

const ca = makeTestCa();
const clientCa = makeTestCa('Client CA');
const material = { ...ca.issue({ subject: 'localhost' }), clientCa: clientCa.pem };
const tls = { current: () => material, onChange: () => () => undefined, close: () => undefined };

async function start(
  t: Test,
): Promise<{ core: TestCore; dir: string; url: string; certificates: Record<string, string> }> {
  const dir = tempDir(t);
  const adminSocketPath = join(dir, 'run', 'admin.sock');
  const core = await startTestCore(t, { insecure: false, access: { tls, allow: { admin: ['ops'] }, adminSocketPath } });
  core.engine.answers.set(ENGINE_METHOD.peers, () =>
    toBinary(PeerTableSchema, create(PeerTableSchema, { peers: [{ role: 'core', party: 1 }] })),
  );
  const url = `https://127.0.0.1:${core.core.address.port}`;
  await writeNodeFile(dir, {
    pid: process.pid,
    clientUrl: url,
    publicUrl: 'http://127.0.0.1:1/kms/PUB',
    opsUrl: 'http://127.0.0.1:1',
    params: 'test',
    engineSocket: '/none',
    adminSocket: adminSocketPath,
    startedAt: new Date().toISOString(),
    version: '0.0.0',
    developerMode: false,
    authorizationPolicy: 'operator-trusted',
    address: '0x6370eF2f4Db3611D657b90667De398a2Cc2a370C',
    network: 'dev:test',
    release: '1',
  });
  const files = join(dir, 'certificates');
  mkdirSync(files);
  const ops = clientCa.issue({ subject: 'ops' });
  const other = clientCa.issue({ subject: 'other' });
  const certificates: Record<string, string> = {};
  for (const [name, text] of Object.entries({
    ca: ca.pem,
    ops: ops.cert,
    opsKey: ops.key,
    other: other.cert,
    otherKey: other.key,
    hostile: makeTestCa('K', 'secp256k1').pem,
  })) {
    certificates[name] = join(files, `${name}.pem`);
    writeFileSync(join(files, `${name}.pem`), text);
  }
  return { core, dir, url, certificates };
}

t.test("a node of one's own is administered over its socket, without any certificate", async (t) => {
  const { dir } = await start(t);
  t.match(await withAdmin({ dir }, (admin) => admin.listPeers()), [{ role: 'core', party: 1 }]);
  const material = await withNode({ dir }, (session) => session.call('GetKeyMaterialAvailability', {}));
  t.type(material, 'object', 'and asked for everything else, though its port has a certificate that nobody knows');
});

t.test('a node elsewhere needs a certificate that it lists', async (t) => {
  const { dir, url, certificates: files } = await start(t);
  const ops = { dir, url, ca: files.ca, clientCert: files.ops, clientKey: files.opsKey };
  t.match(await withAdmin(ops, (admin) => admin.listPeers()), [{ role: 'core' }]);
  const cure = /--client-cert and --client-key/;
  const denied = { code: 'PERMISSION_DENIED', facts: { cure } };
  await t.rejects(
    withAdmin({ dir, url, ca: files.ca }, (admin) => admin.listPeers()),
    denied,
  );
  const other = { ...ops, clientCert: files.other, clientKey: files.otherKey };
  await t.rejects(
    withAdmin(other, (admin) => admin.listPeers()),
    denied,
  );
  await t.rejects(
    withAdmin({ dir, url }, (admin) => admin.listPeers()),
    { code: 'UNAVAILABLE' },
    'an unknown authority',
  );
});

t.test('refuses certificates that cannot be used, by file', async (t) => {
  const { dir, url, certificates: files } = await start(t);
  const cases = [
    ['half a pair', { clientCert: files.ops }, /go together/],
    ['no such file', { clientCert: '/none.pem', clientKey: files.opsKey }, /cannot read/],
    ['no certificate', { ca: files.opsKey }, /holds no PEM certificate/],
    ['an authority that crashes Node', { ca: files.hostile }, /secp256k1/],
  ] as const;
  for (const [why, options, message] of cases) {
    await t.rejects(openAdminClient({ dir, url, ...options }), { code: 'REQUEST_INVALID', message }, why);
  }
});

t.test("a refusal keeps the node's own code, and the digest that governance is to sign", async (t) => {
  const { core, dir } = await start(t);
  const missing = new KmsError('APPROVAL_MISSING', 'needs 2 of 3 governance signatures', { proposalDigest: 'ab12' });
  core.engine.answers.set(ENGINE_METHOD.governancePut, () => Promise.reject(missing));
  const put = withAdmin({ dir }, (admin) => admin.putGovernance({ kind: 'record', content: new Uint8Array(1) }));
  await t.rejects(put, { code: 'APPROVAL_MISSING', message: /needs 2 of 3/, facts: { proposalDigest: 'ab12' } });
  core.engine.answers.set(ENGINE_METHOD.governanceState, () =>
    toBinary(GovernanceStateSchema, create(GovernanceStateSchema, { incarnation: 5n })),
  );
  t.match(await withAdmin({ dir }, (admin) => admin.getGovernance()), { incarnation: 5n });
});
