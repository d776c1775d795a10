/** Who may administer a node: every RPC against every kind of caller, in both modes. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import t, { type Test } from 'tap';
import { createLogger } from '../../../common/log.ts';
import { type AllowLists, createAuthorizer, RPC_GROUP } from '../../../parent/core/admin/access.ts';
import type { Caller } from '../../../parent/grpc/caller.ts';
import { openKmsClient } from '../../../parent/grpc/client.ts';
import { frameMessage } from '../../../parent/grpc/framing.ts';
import { GrpcError } from '../../../parent/grpc/status.ts';
import type { TlsMaterial } from '../../../parent/grpc/tls-source.ts';
import { AdminService } from '../../../proto/gen/arca-admin_pb.js';
import { CoreServiceEndpoint } from '../../../proto/gen/kms-service_pb.js';
import { makeTestCa, type TestCertificate } from '../../helpers/test-ca.ts';
import { startTestCore, type TestCore } from './test-core.ts';

const CORE = `/${CoreServiceEndpoint.typeName}`;
const ADMIN_RPCS = [
  ...['NewMpcContext', 'DestroyMpcContext', 'NewMpcEpoch', 'GetEpochResult', 'DestroyMpcEpoch'],
  ...['NewCustodianContext', 'DestroyCustodianContext', 'GetOperatorPublicKey'],
  ...['RestoreFromBackup', 'CustodianRecoveryInit', 'CustodianBackupRecovery', 'BandwidthBenchmark'],
].map((rpc) => `${CORE}/${rpc}`);
const OWN_RPCS = AdminService.methods.map(({ name }) => `/${AdminService.typeName}/${name}`);
const CLIENT_RPCS = Object.keys(RPC_GROUP)
  .map((rpc) => `${CORE}/${rpc}`)
  .filter((path) => !ADMIN_RPCS.includes(path));

const serverCa = makeTestCa();
const clientCa = makeTestCa('Client CA');
const material: TlsMaterial = { ...serverCa.issue({ subject: 'localhost' }), clientCa: clientCa.pem };
const tls = { current: () => material, onChange: () => () => undefined, close: () => undefined };
const ops = clientCa.issue({ subject: 'ops' });
const relayer = clientCa.issue({ subject: 'relayer' });
const ALLOW: AllowLists = { admin: ['ops'] };

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'arca-admin-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Status of a call with an empty message. */
async function statusAt(t: Test, url: string, path: string, certificate?: TestCertificate): Promise<string> {
  const client = openKmsClient(url, { ca: serverCa.pem, ...certificate });
  t.teardown(() => client.close());
  return await client.callRaw(path, new Uint8Array(0), { timeoutMs: 10_000 }).then(
    () => 'OK',
    (error: unknown) => (error instanceof GrpcError ? error.statusName : String(error)),
  );
}

/** Status of a call by the attested connector. */
function statusOfConnector(t: Test, { core }: TestCore, path: string): Promise<string> {
  const [near, far] = duplexPair();
  core.inject(far, { role: 'connector', party: 1 });
  const session = connect('http://localhost', { createConnection: () => near });
  t.teardown(() => session.destroy());
  const call = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  call.resume().end(frameMessage(new Uint8Array(0)));
  return new Promise((resolve) => {
    let status = '';
    const note = (headers: Record<string, unknown>): void => {
      status = String(headers['grpc-status'] ?? status);
    };
    call.on('response', note);
    call.on('trailers', note);
    call.once('close', () => resolve(status === '7' ? 'PERMISSION_DENIED' : status));
  });
}

t.test('outside developer mode every admin RPC is for the admin socket and listed certificates alone', async (t) => {
  const socket = join(folder(t), 'run', 'admin.sock');
  const core = await startTestCore(t, { insecure: false, access: { tls, allow: ALLOW, adminSocketPath: socket } });
  const url = `https://127.0.0.1:${core.core.address.port}`;
  t.equal(statSync(socket).mode & 0o777, 0o600);
  t.equal(statSync(join(socket, '..')).mode & 0o777, 0o700);
  for (const path of [...ADMIN_RPCS, ...OWN_RPCS]) {
    t.equal(await statusAt(t, url, path), 'PERMISSION_DENIED', `${path} without a certificate`);
    t.equal(
      await statusAt(t, url, path, relayer),
      'PERMISSION_DENIED',
      `${path} with a certificate that is not listed`,
    );
    t.equal(await statusOfConnector(t, core, path), 'PERMISSION_DENIED', `${path} by the connector`);
    t.not(await statusAt(t, url, path, ops), 'PERMISSION_DENIED', `${path} with a listed certificate`);
    t.not(await statusAt(t, `unix:${socket}`, path), 'PERMISSION_DENIED', `${path} over the admin socket`);
  }
});

t.test('outside developer mode plaintext callers administer nothing, whatever the configuration says', async (t) => {
  for (const allow of [undefined, {}, { admin: [] }, { admin: ['ops'] }]) {
    const core = await startTestCore(t, { insecure: false, access: allow === undefined ? {} : { allow } });
    for (const path of [...ADMIN_RPCS, ...OWN_RPCS]) {
      t.equal(await core.status(path, new Uint8Array(0)), 'PERMISSION_DENIED', `${path}, ${JSON.stringify(allow)}`);
    }
  }
});

t.test('clients decrypt and generate without a certificate unless there is a list', async (t) => {
  const { core } = await startTestCore(t, { insecure: false, access: { tls } });
  for (const path of CLIENT_RPCS) {
    t.not(await statusAt(t, `https://127.0.0.1:${core.address.port}`, path), 'PERMISSION_DENIED', path);
  }
});

t.test('the published administration is open in developer mode, our own is not', async (t) => {
  const core = await startTestCore(t, { insecure: true });
  for (const path of ADMIN_RPCS) t.not(await core.status(path, new Uint8Array(0)), 'PERMISSION_DENIED', path);
  for (const path of OWN_RPCS) t.equal(await core.status(path, new Uint8Array(0)), 'PERMISSION_DENIED', path);
});

t.test('a refusal says what is needed and names nobody', async (t) => {
  const core = await startTestCore(t, { insecure: false });
  const error = await core.raw('NewMpcContext', new Uint8Array(0)).catch((error: unknown) => error);
  t.ok(error instanceof GrpcError);
  t.match(error, {
    message: /^Failed on requestID 010{62} with metric authorization: NewMpcContext needs the node's admin socket/,
    explanation: /NewMpcContext needs the node's admin socket, or a client certificate/,
    details: { reason: 'PERMISSION_DENIED', metadata: { rpc: 'NewMpcContext', group: 'admin' } },
  });
});

t.test('each group of RPCs has its own list', async (t) => {
  const log = createLogger({ name: 'test', level: 'fatal' });
  const named = (commonName: string): Caller => ({
    kind: 'tls',
    subject: { commonName, rfc4514: `CN=${commonName}` },
  });
  const allow: AllowLists = { decrypt: ['relayer'], generate: ['CN=keys'], admin: ['ops'] };
  for (const developerMode of [true, false]) {
    const judge = createAuthorizer({ developerMode, allow }, log);
    for (const [rpc, group] of Object.entries(RPC_GROUP)) {
      const path = `${CORE}/${rpc}`;
      for (const [who, own] of [
        ['relayer', 'decrypt'],
        ['keys', 'generate'],
        ['ops', 'admin'],
      ] as const) {
        const passes = judge(path, named(who)) === undefined;
        t.equal(passes, group === 'open' || group === own, `${who} ${rpc}, developer mode ${developerMode}`);
      }
      const strangers: Caller[] = [{ kind: 'tls' }, { kind: 'plaintext' }, { kind: 'mesh', role: 'core', party: 1 }];
      for (const stranger of strangers) {
        t.equal(judge(path, stranger) === undefined, group === 'open', `${stranger.kind} ${rpc}`);
      }
      t.equal(judge(path, { kind: 'admin-socket' }), undefined);
    }
  }
});

t.test('the log says who administered, and which certificates were refused', async (t) => {
  const adminSocketPath = join(folder(t), 'run', 'admin.sock');
  const { core, logs } = await startTestCore(t, { insecure: false, access: { tls, allow: ALLOW, adminSocketPath } });
  const url = `https://127.0.0.1:${core.address.port}`;
  await statusAt(t, url, `${CORE}/DestroyMpcContext`, ops);
  await statusAt(t, `unix:${adminSocketPath}`, `${CORE}/DestroyMpcEpoch`);
  await statusAt(t, url, `${CORE}/RestoreFromBackup`, relayer);
  const lines = logs.map((line): Record<string, unknown> => JSON.parse(line));
  const said = lines.filter(({ event }) => event === 'rpc.admin' || event === 'rpc.denied');
  t.match(said, [
    { level: 'info', event: 'rpc.admin', rpc: 'DestroyMpcContext', caller: 'TLS, CN=ops' },
    { level: 'info', event: 'rpc.admin', rpc: 'DestroyMpcEpoch', caller: 'admin socket' },
    { level: 'warn', event: 'rpc.denied', rpc: 'RestoreFromBackup', group: 'admin', caller: 'TLS, CN=relayer' },
  ]);
});

t.test('the table of groups has every published RPC', async (t) => {
  t.strictSame(Object.keys(RPC_GROUP).sort(), CoreServiceEndpoint.methods.map(({ name }) => name).sort());
});
