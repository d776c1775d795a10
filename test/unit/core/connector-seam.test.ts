/** The door for connectors: attested, of the same instance, with a connector's rights and no others. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import t from 'tap';
import { GovernanceBook } from '../../../attestation/governance/index.ts';
import { connectMesh } from '../../../attestation/mesh/connect.ts';
import { openMeshEndpoint } from '../../../attestation/mesh/endpoint.ts';
import { unixDial } from '../../../attestation/mesh/transport-unix.ts';
import { governedView } from '../../../attestation/node/governed-view.ts';
import { systemClock } from '../../../common/clock.ts';
import { createLogger } from '../../../common/log.ts';
import { runCore } from '../../../parent/core/core.ts';
import { openCoreMesh } from '../../../parent/core/mesh/core-mesh.ts';
import { present } from '../../helpers/present.ts';
import { scriptedEngine } from '../../helpers/scripted-engine.ts';
import type { TestAttesterOptions } from '../../helpers/software-nsm.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { acceptCore, type TestTrust, testTrust } from '../../helpers/test-trust.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const NO_HELLO = {
  releaseSetVersion: 1,
  recordVersion: 1,
  keyPolicyHash: new Uint8Array(48),
  manifestVersion: 0,
  manifestHead: new Uint8Array(32),
  identityCertificate: undefined,
};

/** A Core on the mesh in front of a scripted engine, with a door for connectors. */
async function startCore(t: Teardown) {
  const folder = tempDir(t);
  const trust = await testTrust(folder);
  const { endpoint, socketPath } = await trust.engineEndpoint(t);
  await scriptedEngine(t, {}, { socketPath, accept: (socket) => acceptCore(socket, endpoint) });
  const path = join(folder, 'run', 'mesh.sock');
  const { config: base } = trust;
  const config = {
    ...base,
    mesh: { connector_socket_path: path },
    service: { ...base.service, listen_port: 0 },
    public_http: { ...base.public_http, listen_port: 0 },
    telemetry: { ...base.telemetry, metrics_bind_address: '127.0.0.1:0' },
  };
  const { nsm } = await trust.attester({ role: 'core' });
  const attestation = { ...(await trust.files()), attester: nsm };
  const mesh = await openCoreMesh({ config, attestation, clock: systemClock, log });
  const core = await runCore({ config, developerMode: true, log, mesh });
  t.teardown(() => core.close(0));
  await core.ready;
  return { trust, path, mesh };
}

/** Connects to a Core's door as a connector. */
async function connector(t: Teardown, trust: TestTrust, path: string, options: Partial<TestAttesterOptions> = {}) {
  const { nsm, moduleId } = await trust.attester({ role: 'connector', ...options });
  const { record, releases, anchor } = await trust.files();
  const book = new GovernanceBook({ charter: trust.charter });
  book.offerRecord(present(record));
  book.offerReleases(present(releases), systemClock.nowMs());
  const view = governedView({ book, anchor, clock: systemClock });
  const { network, party } = trust.charter;
  const own = { network, party, context: view.context(), incarnation: 0, moduleId, attester: nsm, identity: undefined };
  const self = { role: 'connector' as const, hello: () => NO_HELLO, ...own };
  const endpoint = await openMeshEndpoint({ self, view, clock: systemClock, log });
  t.teardown(() => endpoint.close());
  const raw = await unixDial(path)(AbortSignal.timeout(60_000));
  const expect = { service: 'core-grpc', role: 'core', party, sameInstance: true } as const;
  return await connectMesh(raw, endpoint, expect, AbortSignal.timeout(60_000));
}

/** Calls an RPC with an empty message over a verified stream; returns its gRPC status. */
async function statusOver(stream: Duplex, rpcs: readonly string[]): Promise<string[]> {
  const session = connectHttp2('http://core', { createConnection: () => stream });
  const statuses: string[] = [];
  for (const rpc of rpcs) {
    const call = session.request({
      ':method': 'POST',
      ':path': rpc,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let status: unknown;
    call.on('response', (headers) => {
      status = headers['grpc-status'];
    });
    call.on('trailers', (trailers) => {
      status = trailers['grpc-status'] ?? status;
    });
    call.end(Buffer.alloc(5));
    call.resume();
    await once(call, 'close');
    statuses.push(String(status));
  }
  session.destroy();
  return statuses;
}

t.test('a connector of the same instance is served, but administers nothing', async (t) => {
  const { trust, path, mesh } = await startCore(t);
  const { stream, peer } = await connector(t, trust, path);
  t.match(peer, { role: 'core', party: 1 });
  const statuses = await statusOver(stream, [
    '/grpc.health.v1.Health/Check',
    '/kms_service.v1.CoreServiceEndpoint/GetHealthStatus',
    '/kms_service.v1.CoreServiceEndpoint/NewMpcContext',
    '/arca.v1.AdminService/GetGovernance',
  ]);
  t.same(statuses, ['0', '0', '7', '7']);
  t.match(
    mesh.peers().map(({ role }) => role),
    ['connector', 'engine'],
  );
});

t.test('a connector of another instance, or another program, is refused', async (t) => {
  const { trust, path } = await startCore(t);
  for (const [why, options] of [
    ['another instance', { instanceId: 'i-0123456789abcdef9' }],
    ['another program', { pcrs: new Map([[11, new Uint8Array(48).fill(7)]]) }],
  ] as const) {
    await t.rejects(connector(t, trust, path, options), { code: 'ATTESTATION_REJECTED' }, why);
  }
});
