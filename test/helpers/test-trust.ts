/**
 * What a node of a test is attested under: the files of a developer node in the test's folder, a release set that
 * trusts the test's attesters, and attesters in the test's own process.
 */
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { verifyReleaseSet } from '../../attestation/governance/index.ts';
import { readNodeFiles } from '../../attestation/node/node-files.ts';
import { systemClock } from '../../common/clock.ts';
import { loadConfig, parseConfig } from '../../common/config.ts';
import { createLogger, type Logger } from '../../common/log.ts';
import { NodeConfig } from '../../common/node-config.ts';
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
  /** Opens a Core's side of the mesh, which is closed with the test. */
  coreMesh(t: Teardown, log?: Logger): Promise<Awaited<ReturnType<typeof openCoreMesh>>>;
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
  return (await mesh.dial(AbortSignal.timeout(10_000))).stream;
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
    coreMesh: async (t, log = createLogger({ name: 'core', level: 'silent' })) => {
      const { nsm } = await attester({ role: 'core' });
      const attestation = { ...(await files()), attester: nsm };
      const mesh = await openCoreMesh({ config, attestation, clock: systemClock, log });
      t.teardown(() => mesh.close());
      return mesh;
    },
  };
}
