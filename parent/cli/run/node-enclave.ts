/**
 * A node whose engine runs in an enclave, up to the moment at which something starts: its configuration checked, its folder
 * locked, its logs open; and the enclave as it would be started.
 */
import { dirname, join, resolve } from 'node:path';
import type { BootDocument } from '../../../common/enclave-boot.ts';
import type { BootImport } from '../../../common/enclave-boot-import.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { EnclaveBackend } from '../../../images/boot/backend.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import type { Output } from '../framework/output.ts';
import type { ChildProgram, Startable } from '../supervise/child.ts';
import { type NodeLog, openNodeLog } from '../supervise/node-log.ts';
import { coreProgram } from '../supervise/node-programs.ts';
import { describeDeviceEvent } from '../supervise/reporter.ts';
import { prepareSocketPath } from '../supervise/socket-path.ts';
import { entriesNamedBy, STATE_FILES } from '../supervise/state-folder.ts';
import { takeStateFolder } from '../supervise/take-state-folder.ts';
import { bootDocument } from './boot-document.ts';
import { type DeveloperEnclave, prepareDeveloperEnclave } from './developer-enclave.ts';
import { checkEnclave, enclaveOf, requireReady } from './enclave-checks.ts';
import { enclaveProgram } from './enclave-program.ts';
import { allowedDestinations, importDestinations, proxyTable } from './proxy-routes.ts';

/** Which node, and what starts its enclave. */
export interface TakeNodeOptions {
  /** Configuration file. */
  readonly file: string;
  /** `instanceId` is what a test image's documents are to show. */
  readonly backendOf: (config: NodeConfig, instanceId?: string) => EnclaveBackend | Promise<EnclaveBackend>;
}

/** A node that nobody else runs. */
export interface TakenNode extends TakeNodeOptions {
  readonly config: NodeConfig;
  readonly dir: string;
  readonly memoryMb: number;
  readonly log: NodeLog;
  readonly enclaveLog: NodeLog;
  /** Closes the logs and unlocks the folder. */
  release(): Promise<void>;
}

/** What is started of it. */
export interface NodePrograms {
  readonly enclave: Startable;
  /** The Core; in developer mode with the module that attests it. */
  readonly core: readonly (Startable | ChildProgram)[];
  readonly developer: DeveloperEnclave | undefined;
}

/** Names of sockets below stand beside `enclave/`: QEMU's may have 80 bytes before them. */
const SOCKET_FOLDER_BYTES = 84;

/** Returns the folder of a node's running enclave, which depends on the state folder alone; the one around it is made. */
export async function enclaveFolder(dir: string): Promise<string> {
  return join(dirname(await prepareSocketPath(dir, process.env, SOCKET_FOLDER_BYTES)), 'enclave');
}

/**
 * Checks and locks a node.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` with everything that stands in the way; as `takeStateFolder`.
 */
export async function takeEnclaveNode({ file, backendOf }: TakeNodeOptions, output: Output): Promise<TakenNode> {
  const config = loadNodeConfig(resolve(file), process.env);
  const { findings, memoryMb } = await checkEnclave(config, await backendOf(config));
  requireReady(findings);
  const dir = dirname(config.state.path);
  await using held = new AsyncDisposableStack();
  const lock = await takeStateFolder(dir, { reset: false, parties: 1, expected: entriesNamedBy(config, file) }, output);
  held.defer(() => lock.release());
  const log = await openNodeLog(dir);
  held.defer(() => log.close());
  const enclaveLog = await openNodeLog(dir, STATE_FILES.enclaveLog);
  held.defer(() => enclaveLog.close());
  const kept = held.move();
  const release = (): Promise<void> => kept.disposeAsync();
  return { file: resolve(file), backendOf, config, dir, memoryMb, log, enclaveLog, release };
}

/**
 * Prepares what is started.
 *
 * @param debug - Asked for by name: the console shows everything, and peers refuse such an enclave.
 * @param job - What the enclave does in place of serving.
 * @throws {@link KmsError} as `prepareDeveloperEnclave`.
 */
export async function nodeEnclave(
  node: TakenNode,
  { debug = false, job }: { readonly debug?: boolean; readonly job?: BootImport | undefined },
  output: Output,
): Promise<NodePrograms> {
  const { config, dir, file, memoryMb, log, backendOf } = node;
  const { image_path: image, cpus, cid } = enclaveOf(config);
  const core = coreProgram({
    developerMode: config.developer_mode,
    threshold: config.threshold !== undefined,
    configFile: file,
  });
  const developer = config.developer_mode ? await prepareDeveloper(node, core, output) : undefined;
  const document = async (): Promise<BootDocument> => ({
    ...(await bootDocument(config)),
    ...(job && { import: job }),
  });
  const allowed = async (): Promise<readonly string[]> => {
    const added = job ? importDestinations(config, job) : [];
    return [...new Set([...(await allowedDestinations(config)), ...added])];
  };
  const enclave = enclaveProgram({
    backend: await backendOf(config, developer?.instanceId),
    folder: await enclaveFolder(dir),
    image,
    memoryMb,
    cpus,
    cid,
    debug,
    document,
    routes: async (vsock) => proxyTable(config, vsock, await allowed()),
    developerRoot: developer?.root,
    onProxyLine: (line) => log.write(line),
  });
  return { enclave, core: developer?.core ?? [core], developer };
}

async function prepareDeveloper(
  { config, log }: TakenNode,
  core: ChildProgram,
  output: Output,
): Promise<DeveloperEnclave> {
  return await prepareDeveloperEnclave({
    config,
    image: enclaveOf(config).image_path,
    core,
    onEvent: (event) => {
      const { name: child, ...facts } = event;
      log.write(JSON.stringify({ level: 'error', name: 'launcher', child, ...facts }));
      output.warn(describeDeviceEvent(event));
    },
  });
}
