/**
 * What a node of a test is attested under: the files of a developer node in the test's folder, a release set that
 * trusts the test's attesters, and attesters in the test's own process.
 */
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { charterDigest, GovernanceBook, verifyReleaseSet } from '../../attestation/governance/index.ts';
import { acceptMesh } from '../../attestation/mesh/accept.ts';
import { openMeshEndpoint } from '../../attestation/mesh/endpoint.ts';
import type { MeshEndpoint } from '../../attestation/mesh/mesh-context.ts';
import { governedView } from '../../attestation/node/governed-view.ts';
import { readNodeFiles } from '../../attestation/node/node-files.ts';
import { systemClock } from '../../common/clock.ts';
import { loadConfig, parseConfig } from '../../common/config.ts';
import { createLogger, type Logger } from '../../common/log.ts';
import { NodeConfig } from '../../common/node-config.ts';
import { meshIdentity } from '../../enclave/mesh/mesh-identity.ts';
import { NodeKey } from '../../native/engine/index.ts';
import { ensureDeveloperRelease } from '../../parent/cli/supervise/developer-release.ts';
import { type DeveloperTrust, openDeveloperTrust, trustPaths } from '../../parent/cli/supervise/developer-trust.ts';
import { type CoreAttestation, openCoreMesh } from '../../parent/core/mesh/core-mesh.ts';
import { present } from './present.ts';
import { startTestAttester, type TestAttester, type TestAttesterOptions, testPcrs } from './software-nsm.ts';
import type { Teardown } from './temp-dir.ts';

/** See the file comment. */
export interface TestTrust extends DeveloperTrust {
  readonly config: NodeConfig;
  /** What engine and Core are given, without their attester. */
  files(): Promise<Omit<CoreAttestation, 'attester'>>;
  /** Starts an attester whose measurement the release set trusts, unless the options change it. */
  attester(options: Partial<TestAttesterOptions> & Pick<TestAttesterOptions, 'role'>): Promise<TestAttester>;
  /** Opens an engine's side of the mesh, with a node key of its own, which is closed with the test. */
  engineEndpoint(t: Teardown): Promise<{ readonly endpoint: MeshEndpoint; readonly socketPath: string }>;
  /** Opens a Core's side of the mesh, which is closed with the test. */
  coreMesh(
    t: Teardown,
    log?: Logger,
    attester?: Partial<TestAttesterOptions>,
  ): Promise<Awaited<ReturnType<typeof openCoreMesh>>>;
}

const NO_HELLO = {
  releaseSetVersion: 1,
  recordVersion: 1,
  keyPolicyHash: new Uint8Array(48),
  manifestVersion: 0,
  manifestHead: new Uint8Array(32),
};

/** Accepts a Core on a raw stream as an engine does. */
export async function acceptCore(raw: Duplex, endpoint: MeshEndpoint): Promise<Duplex> {
  const expect = { service: 'engine-calls', role: 'core' } as const;
  return (await acceptMesh(raw, endpoint, expect, AbortSignal.timeout(60_000))).stream;
}

/** Returns the text of `[attestation]` for a node in a folder. */
export function attestationToml(folder: string): string {
  return `
[attestation]
charter_path = "${join(folder, 'governance/charter.cbor')}"
record_path = "${join(folder, 'governance/record.cbor')}"
releases_path = "${join(folder, 'governance/releases.cbor')}"
developer_root_path = "${join(folder, 'governance/developer-root.pem')}"
developer_governance_key_path = "${join(folder, 'governance/governance-key.pem')}"
`;
}

/** Returns the configuration of a developer node in a folder. */
export function nodeConfigIn(folder: string, socketPath: string, more = ''): NodeConfig {
  const text = `
developer_mode = true
[engine]
socket_path = "${socketPath}"
[public_vault.storage.file]
path = "${join(folder, 'public')}"
[private_vault.storage.file]
path = "${join(folder, 'private')}"
[state]
path = "${join(folder, 'core.sqlite')}"
${attestationToml(folder)}
${more}`;
  return parseConfig(NodeConfig, { text, env: {}, name: 'test' });
}

/**
 * Opens an attested stream to the engine of a running developer node, as its Core does: the root of the node's folder
 * signs that the test is what the release set lists as Core.
 */
export async function dialRunningEngine(t: Teardown, dir: string): Promise<Duplex> {
  const config = loadConfig(NodeConfig, { file: join(dir, 'node.toml'), env: {} });
  const { root, instanceId, record } = await openDeveloperTrust(trustPaths(config));
  const attestation = { anchor: root.anchor, ...(await readNodeFiles(config, root.anchor)) };
  const releases = verifyReleaseSet(present(attestation.releases), record.body);
  const pcrs = present(releases.body.entries.find(({ role }) => role === 'core')).pcrs;
  const { nsm } = await startTestAttester({ role: 'core', root, instanceId, pcrs });
  const log = createLogger({ name: 'test', level: 'silent' });
  const mesh = await openCoreMesh({ config, attestation: { ...attestation, attester: nsm }, clock: systemClock, log });
  t.teardown(() => mesh.close());
  return (await mesh.dial(AbortSignal.timeout(60_000))).stream;
}

/** Opens what a folder holds, and makes what is missing. */
export async function testTrust(folder: string, socketPath = join(folder, 'run', 'engine.sock')): Promise<TestTrust> {
  const config = nodeConfigIn(folder, socketPath);
  const paths = trustPaths(config);
  const trust = await openDeveloperTrust(paths);
  const measured = new Map((['engine', 'core', 'connector'] as const).map((role) => [role, testPcrs(role)]));
  await ensureDeveloperRelease(paths.releases, trust, measured, systemClock);
  const { root, instanceId } = trust;
  const files = async () => ({ anchor: root.anchor, ...(await readNodeFiles(config, root.anchor)) });
  const attester: TestTrust['attester'] = (options) => startTestAttester({ root, instanceId, ...options });
  return {
    ...trust,
    config,
    files,
    attester,
    engineEndpoint: async (t) => {
      const key = NodeKey.generate();
      const { charter } = trust;
      const { nsm, moduleId } = await attester({ role: 'engine', charterDigest: charterDigest(charter) });
      const book = new GovernanceBook({ charter });
      const { record, releases, anchor } = await files();
      book.offerRecord(present(record));
      book.offerReleases(present(releases), systemClock.nowMs());
      const view = governedView({ book, anchor, clock: systemClock });
      const identity = await meshIdentity(key, charter);
      const hello = () => ({ ...NO_HELLO, identityCertificate: identity.certificate });
      const { network, party } = charter;
      const context = view.context();
      const role = 'engine' as const;
      const self = { role, party, network, context, incarnation: 1, moduleId, attester: nsm, identity, hello };
      const log = createLogger({ name: 'engine', level: 'silent' });
      const endpoint = await openMeshEndpoint({ self, view, clock: systemClock, log });
      t.teardown(async () => {
        await endpoint.close();
        key.dispose();
      });
      return { endpoint, socketPath };
    },
    coreMesh: async (t, log = createLogger({ name: 'core', level: 'silent' }), more = {}) => {
      const { nsm } = await attester({ role: 'core', ...more });
      const attestation = { ...(await files()), attester: nsm };
      const mesh = await openCoreMesh({ config, attestation, clock: systemClock, log });
      t.teardown(() => mesh.close());
      return mesh;
    },
  };
}
