/**
 * What a node for `arca run` needs before it is started in a test: emulated AWS with its root keys, trust of developer mode, and
 * a configuration whose section [enclave] is the test's.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeSigned } from '../../attestation/governance/index.ts';
import { loadNodeConfig } from '../../parent/cli/config/check-config.ts';
import type { Output } from '../../parent/cli/framework/output.ts';
import { type EmulatedAws, startEmulatedAws } from '../../parent/cli/supervise/aws/emulated-aws.ts';
import { withRootKeys } from '../../parent/cli/supervise/aws/record-keys.ts';
import {
  type DeveloperTrust,
  openDeveloperTrust,
  trustPaths,
  writeWhole,
} from '../../parent/cli/supervise/developer-trust.ts';
import { developerConfig } from '../../parent/cli/supervise/node-toml.ts';
import { prepareSocketPath } from '../../parent/cli/supervise/socket-path.ts';
import { ensureStateFolder } from '../../parent/cli/supervise/state-folder.ts';
import { freePorts } from './free-port.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** How the node differs from others. */
export interface EnclaveNodeNeed {
  /** Registers of the image. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** Lines of the section [enclave]. */
  readonly enclave: string;
  /** What stands before an emulator, by its address; the emulator itself if absent. */
  readonly front?: ((url: string) => Promise<string>) | undefined;
}

/** A node that can be started. */
export interface EnclaveNode {
  readonly dir: string;
  /** Its configuration. */
  readonly file: string;
  readonly socketPath: string;
  readonly trust: DeveloperTrust;
  readonly emulated: Pick<EmulatedAws, 's3Url' | 'kmsUrl'>;
}

/** Prepares a node; its emulators run until the test ends. */
export async function enclaveNode(t: Teardown, need: EnclaveNodeNeed, output: Output): Promise<EnclaveNode> {
  const { pcrs, enclave, front = async (url) => url } = need;
  const dir = tempDir(t);
  await ensureStateFolder(dir);
  const trustFolder = join(dir, 'governance');
  mkdirSync(trustFolder, { mode: 0o700 });
  const emulated = await startEmulatedAws({ dir, parties: [1], trustFolder, backup: undefined }, output);
  t.teardown(() => emulated.stop());
  const [clientPort = 0, publicPort = 0, opsPort = 0] = await freePorts(3);
  const socketPath = await prepareSocketPath(dir);
  const settings = { dir, socketPath, clientPort, publicPort, opsPort, treatV0ExtraDataAsEmpty: false };
  const [s3Url, kmsUrl] = [await front(emulated.s3Url), await front(emulated.kmsUrl)];
  const toml = developerConfig({ ...settings, logLevel: 'debug', aws: { ...emulated.party(1), s3Url, kmsUrl } });
  const file = join(dir, 'node.toml');
  writeFileSync(file, `${toml}\n[enclave]\n${enclave}\n`);
  const paths = trustPaths(loadNodeConfig(file, {}));
  const trust = await openDeveloperTrust(paths);
  const keys = await emulated.ensureKeys(trust.charter, pcrs);
  await writeWhole(paths.record, encodeSigned(withRootKeys(trust.record, keys, trust.governanceKey)));
  return { dir, file, socketPath, trust, emulated };
}
