import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { decodeCharter } from '../../../attestation/governance/index.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readAwsFile } from './aws/aws-file.ts';
import type { EmulatedAws } from './aws/emulated-aws.ts';
import { type DeviceMaker, measuredRoles, prepareDevices } from './developer-devices.ts';
import { readOf, trustPaths } from './developer-trust.ts';
import { jobDevice, measureJobProgram, tellModuleEvents } from './job-device.ts';
import { nodePrograms } from './node-programs.ts';
import { writeDeveloperConfig } from './node-toml.ts';
import { prepareSocketPath } from './socket-path.ts';
import { holdsNode, STATE_FILES } from './state-folder.ts';

/** A stopped node. */
export interface StoppedNode {
  /** Folder of the node, or of its whole quorum; the caller has locked it. */
  readonly dir: string;
  /** Numbers of the parties of its quorum; 1 alone for a single node. */
  readonly parties: readonly number[];
  /** Path of the node's configuration. */
  readonly config: string;
}

/** What the program is started with. */
export interface ImportPlace {
  readonly config: string;
  readonly device: DeviceMaker | undefined;
  /** Where its vaults lie now. */
  readonly emulators: Pick<EmulatedAws, 's3Url' | 'kmsUrl'> | undefined;
}

/**
 * Prepares a node that was started before. `held` undoes it.
 *
 * @param hasRootKey - AWS KMS has to open the other vault.
 * @throws {@link KmsError} `CONFIG_INVALID` for sealed vaults that are not this folder's own; as `startEmulatedAws`;
 *   `PRECONDITION_FAILED` if its root keys admit another engine.
 */
export async function openImportPlace(
  { dir, parties, config }: StoppedNode,
  hasRootKey: boolean,
  held: AsyncDisposableStack,
  output: Output,
): Promise<ImportPlace> {
  const parsed = loadNodeConfig(config, {});
  const isSealed = parsed.private_vault.keychain !== undefined;
  if (!isSealed && !hasRootKey) return { config, device: undefined, emulators: undefined };
  const paths = trustPaths(parsed);
  const trustFolder = dirname(paths.root);
  const measured = await measureJobProgram();
  let emulated: EmulatedAws | undefined;
  if (isSealed) {
    if ((await readAwsFile(dir)) === undefined) {
      const what = `${config} seals its vault, but ${dir} is no folder of 'arca dev --aws'`;
      throw failure(
        'CONFIG_INVALID',
        what,
        'import into a node of arca dev: nothing of a sealed vault is opened otherwise',
      );
    }
    emulated = await startAws({ dir, parties, trustFolder }, held, output);
    const charter = await readOf(paths.charter, async () => decodeCharter(await readFile(paths.charter)));
    await emulated.ensureKeys(charter, measuredRoles(measured).get('engine') ?? new Map());
  }
  return { config, device: await jobDevice(config, measured, output), emulators: urls(emulated) };
}

/**
 * Makes a single node of `arca dev --aws` in a folder that has none, up to the moment at which its engine would make itself a
 * signing key. `held` stops what runs.
 *
 * @throws {@link KmsError} `STATE_INVALID` if the folder holds a node; as `startEmulatedAws`.
 */
export async function makeImportPlace(dir: string, held: AsyncDisposableStack, output: Output): Promise<ImportPlace> {
  if (await holdsNode(dir)) {
    const cure = 'leave out --new-aws-node: the node keeps its own signing key; or choose another folder with --dir';
    throw failure('STATE_INVALID', `${dir} holds a node already`, cure, { dir });
  }
  const emulated = await startAws({ dir, parties: [1], trustFolder: join(dir, STATE_FILES.governance) }, held, output);
  const config = await writeDeveloperConfig({
    dir,
    socketPath: await prepareSocketPath(dir),
    ...UNUSED_PORTS,
    logLevel: 'info',
    treatV0ExtraDataAsEmpty: false,
    aws: emulated.party(1),
  });
  const devices = await prepareDevices({
    config: loadNodeConfig(config, {}),
    programs: nodePrograms({ threshold: false, configFile: config }),
    onEvent: tellModuleEvents(output),
    emulated,
  });
  return { config, device: devices.get('engine'), emulators: urls(emulated) };
}

/** Nothing listens, and each start writes the configuration anew. */
const UNUSED_PORTS = { clientPort: 50_051, publicPort: 9000, opsPort: 9646 };

async function startAws(
  options: { readonly dir: string; readonly parties: readonly number[]; readonly trustFolder: string },
  held: AsyncDisposableStack,
  output: Output,
): Promise<EmulatedAws> {
  // The AWS client is loaded by those who use it.
  const { startEmulatedAws } = await import('./aws/emulated-aws.ts');
  const emulated = await startEmulatedAws(options, output);
  held.defer(() => emulated.stop());
  return emulated;
}

const urls = (emulated: EmulatedAws | undefined): ImportPlace['emulators'] =>
  emulated && { s3Url: emulated.s3Url, kmsUrl: emulated.kmsUrl };
