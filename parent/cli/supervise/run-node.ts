/**
 * A whole node under one supervisor: state folder, lock, ports, configuration, engine and core.
 */
import { dirname, join, resolve } from 'node:path';
import { systemClock } from '../../../common/clock.ts';
import type { LogLevel } from '../../../common/log.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { quorumAround } from '../quorum/quorum-file.ts';
import type { BackupKeychainName } from './aws/aws-file.ts';
import type { EmulatedAws } from './aws/emulated-aws.ts';
import type { ChildProgram } from './child.ts';
import { describeNode } from './describe-node.ts';
import { type DeviceEvent, prepareDevices } from './developer-devices.ts';
import type { FolderLock } from './folder-lock.ts';
import { type NodeFile, removeNodeFile, writeNodeFile } from './node-file.ts';
import { openNodeLog } from './node-log.ts';
import { nodePrograms, withDevices } from './node-programs.ts';
import { writeDeveloperConfig } from './node-toml.ts';
import { choosePorts } from './ports.ts';
import { describeDeviceEvent, reporter } from './reporter.ts';
import { runningNode } from './running-node.ts';
import { prepareSocketPath } from './socket-path.ts';
import { entriesNamedBy, STATE_FILES } from './state-folder.ts';
import { type Supervisor, supervise } from './supervisor.ts';
import { takeStateFolder } from './take-state-folder.ts';

/** The FHE parameter sets that keys are made for. */
export type Params = NodeFile['params'];

/** What `arca dev` was asked for. Ports: 0 = any free one. */
export interface DeveloperNodeOptions {
  readonly dir: string;
  readonly params: Params;
  readonly reset: boolean;
  readonly clientPort: number;
  readonly publicPort: number;
  readonly opsPort: number;
  /** Takes free ports where the wanted ones are taken. */
  readonly anyPorts: boolean;
  readonly logLevel: LogLevel;
  readonly treatV0ExtraDataAsEmpty: boolean;
  /** Vaults lie in emulated S3, sealed under keys of an emulated AWS KMS, in place of clear files. */
  readonly aws?: boolean | undefined;
  /** What seals backups in emulated AWS; as before if absent. */
  readonly backup?: BackupKeychainName | undefined;
  /** How long certificates of the attesters live; three hours unless a test wants to see renewals. */
  readonly leafLifeMs?: number | undefined;
}

/** A node that is ready. */
export interface RunningNode {
  /** Absolute path of the state folder. */
  readonly dir: string;
  readonly node: NodeFile;
  /** What is to be said of the end of its release; empty until two weeks before. */
  readonly releaseWarnings: readonly string[];
  readonly readyMs: number;
  /** Its private vault is sealed under a root key. */
  readonly isSealed: boolean;
  /** Where its vaults are, if that is emulated AWS. */
  readonly aws?: Pick<EmulatedAws, 's3Url' | 'kmsUrl'> | undefined;
  pids(): Readonly<Record<string, number>>;
  /** Stops all; may be called twice. */
  stop(): Promise<void>;
  kill(): void;
}

/**
 * Starts a developer node and returns when it is ready.
 *
 * @throws {@link KmsError} `STATE_INVALID` (folder), `PRECONDITION_FAILED` (in use, port taken), `UNAVAILABLE` (a process died).
 */
export async function startDeveloperNode(options: DeveloperNodeOptions, output: Output): Promise<RunningNode> {
  const startedAt = systemClock.monotonicMs();
  const dir = resolve(options.dir);
  await refusePartyFolder(dir);
  const lock = await takeStateFolder(dir, { reset: options.reset, parties: 1, aws: options.aws === true }, output);
  let emulated: EmulatedAws | undefined;
  try {
    if (options.aws === true) {
      // The AWS client is loaded by those who use it.
      const { startEmulatedAws } = await import('./aws/emulated-aws.ts');
      const trustFolder = join(dir, STATE_FILES.governance);
      emulated = await startEmulatedAws({ dir, parties: [1], trustFolder, backup: options.backup }, output);
    }
    const anyPort = { address: '127.0.0.1', fallback: options.anyPorts };
    const [clientPort = 0, publicPort = 0, opsPort = 0] = await choosePorts([
      { purpose: 'clients', option: '--port', port: options.clientPort, ...anyPort },
      { purpose: 'public material', option: '--public-port', port: options.publicPort, ...anyPort },
      { purpose: 'metrics and health', option: '--ops-port', port: options.opsPort, ...anyPort },
    ]);
    const socketPath = await prepareSocketPath(dir);
    const aws = emulated?.party(1);
    const config = await writeDeveloperConfig({ ...options, dir, socketPath, clientPort, publicPort, opsPort, aws });
    const parsed = loadNodeConfig(config, process.env);
    const { params, leafLifeMs } = options;
    const processes = { dir, file: config, config: parsed, params, leafLifeMs, emulated, lock, startedAt };
    return await startProcesses(processes, output);
  } catch (error) {
    await emulated?.stop();
    lock.release();
    throw error;
  }
}

/** A party's folder is nobody's to start or to clear alone: without its shares, its quorum has one party less for good. */
async function refusePartyFolder(dir: string): Promise<void> {
  const quorum = await quorumAround(dir);
  if (quorum === undefined) return;
  const cure = `start the quorum with 'arca dev --parties ${quorum.parties} --dir ${quorum.dir}', or choose another folder with --dir`;
  throw failure('STATE_INVALID', `${dir} is party ${quorum.party} of a quorum, not a node of its own`, cure, { dir });
}

/**
 * Starts the developer node that a configuration file describes; its state folder is that of `[state] path`.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` for any other node: its engine runs in an enclave.
 */
export async function startConfiguredNode(file: string, params: Params, output: Output): Promise<RunningNode> {
  const startedAt = systemClock.monotonicMs();
  const config = resolve(file);
  const parsed = loadNodeConfig(config, process.env);
  if (!parsed.developer_mode) {
    const cure = `run it with 'arca run --config ${file}', or set developer_mode = true`;
    throw failure('CONFIG_INVALID', 'the engine of a node that is not in developer mode runs in an enclave', cure);
  }
  const dir = dirname(parsed.state.path);
  const expected = entriesNamedBy(parsed, config);
  const lock = await takeStateFolder(dir, { reset: false, parties: 1, expected }, output);
  try {
    return await startProcesses({ dir, file: config, config: parsed, params, lock, startedAt }, output);
  } catch (error) {
    lock.release();
    throw error;
  }
}

interface ProcessOptions {
  readonly dir: string;
  /** Path of the configuration file. */
  readonly file: string;
  readonly config: NodeConfig;
  readonly params: Params;
  readonly leafLifeMs?: number | undefined;
  readonly emulated?: EmulatedAws | undefined;
  readonly lock: FolderLock;
  readonly startedAt: number;
}

async function startProcesses(options: ProcessOptions, output: Output): Promise<RunningNode> {
  const { dir, config, lock, startedAt, emulated } = options;
  const log = await openNodeLog(dir);
  const release = async () => {
    await emulated?.stop();
    await log.close();
    lock.release();
  };
  /** Only while the node is up is a child's word worth a line on the terminal; node.log has all of them. */
  let started = false;
  /** Whoever waits for a node whose sources were edited under it would wait in vain. */
  const edited = Promise.withResolvers<never>();
  edited.promise.catch(() => {});
  const onDevice = (event: DeviceEvent): void => {
    log.write(JSON.stringify({ level: 'error', time: new Date(systemClock.nowMs()).toISOString(), ...event }));
    const text = describeDeviceEvent(event);
    if (started) output.warn(text);
    else if (event.event === 'attestation.files-changed') edited.reject(failure('ABORTED', text, 'start it again'));
  };
  let programs: readonly ChildProgram[];
  try {
    programs = await preparePrograms(options, onDevice);
  } catch (error) {
    await log.close();
    throw error;
  }
  let engineFacts: unknown;
  const tell = reporter(output);
  const supervisor: Supervisor = supervise(programs, {
    onEvent: (event) => {
      if (event.kind === 'line') log.write(event.line);
      if (event.kind === 'ready' && event.name === 'engine') engineFacts = event.facts;
      if (started || event.kind === 'crashed') tell(event);
    },
  });
  let node: NodeFile;
  try {
    await Promise.race([supervisor.ready, edited.promise]);
    node = describeNode(options, engineFacts);
    await writeNodeFile(dir, node);
  } catch (error) {
    await supervisor.stop();
    await release();
    throw error;
  }
  started = true;
  const stop = async () => {
    started = false; // what the children say from here on is about their end
    await removeNodeFile(dir);
    await supervisor.stop();
    await release();
  };
  return {
    ...(await runningNode({ dir, node, config, startedAt, supervisor, stop })),
    aws: emulated,
    pids: () => ({ ...supervisor.pids(), ...emulated?.pids() }),
    kill: () => {
      supervisor.kill();
      emulated?.kill();
    },
  };
}

/** Engine and core with the modules that attest them. */
async function preparePrograms(
  { file, config, leafLifeMs, emulated }: ProcessOptions,
  onEvent: (event: DeviceEvent) => void,
): Promise<readonly ChildProgram[]> {
  const programs = nodePrograms({ threshold: config.threshold !== undefined, configFile: file });
  return withDevices(programs, await prepareDevices({ config, programs, onEvent, leafLifeMs, emulated }));
}
