/**
 * A node whose engine runs in an enclave: checks, enclave with its vsock-proxy, Core, all under one supervisor that starts
 * again what ends. Holds no secret: what it hands to the enclave is public, and the enclave believes none of it.
 */
import { dirname, join, resolve } from 'node:path';
import { systemClock } from '../../../common/clock.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { EnclaveBackend } from '../../../images/boot/backend.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import { describeFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { type ChildProgram, parseLogLine } from '../supervise/child.ts';
import { describeNode } from '../supervise/describe-node.ts';
import { removeNodeFile, writeNodeFile } from '../supervise/node-file.ts';
import { type NodeLog, openNodeLog } from '../supervise/node-log.ts';
import { coreProgram } from '../supervise/node-programs.ts';
import { describeDeviceEvent, reporter } from '../supervise/reporter.ts';
import type { Params, RunningNode } from '../supervise/run-node.ts';
import { runningNode } from '../supervise/running-node.ts';
import { prepareSocketPath } from '../supervise/socket-path.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';
import {
  type BackOff,
  describeExit,
  type Supervisor,
  type SupervisorEvent,
  supervise,
} from '../supervise/supervisor.ts';
import { takeStateFolder } from '../supervise/take-state-folder.ts';
import { bootDocument } from './boot-document.ts';
import { type DeveloperEnclave, prepareDeveloperEnclave } from './developer-enclave.ts';
import { checkEnclave, enclaveOf, requireReady } from './enclave-checks.ts';
import { enclaveProgram } from './enclave-program.ts';
import { allowedDestinations, proxyTable } from './proxy-routes.ts';

/** What `arca run` was asked for. */
export interface EnclaveNodeOptions {
  /** Configuration file. */
  readonly file: string;
  readonly params: Params;
  /** Asked for by name: the console shows everything, and peers refuse such an enclave. */
  readonly debug: boolean;
  /** What starts the enclave; `instanceId` is what a test image's documents are to show. */
  readonly backendOf: (config: NodeConfig, instanceId?: string) => EnclaveBackend | Promise<EnclaveBackend>;
  readonly backOff?: BackOff;
}

/** Names of sockets below stand beside `enclave/`: QEMU's may have 80 bytes before them. */
const SOCKET_FOLDER_BYTES = 84;
/** A first start waits for other parties, and under emulation for everything. */
const START_LIMIT_MS = 600_000;
const DEBUG_WARNING =
  'debug mode: the console of the enclave shows everything, and PCR0, 1 and 2 are zero: peers and AWS KMS refuse it';

/** Returns the folder of a node's running enclave, which depends on the state folder alone; the one around it is made. */
export async function enclaveFolder(dir: string): Promise<string> {
  return join(dirname(await prepareSocketPath(dir, process.env, SOCKET_FOLDER_BYTES)), 'enclave');
}

/**
 * Starts the node and returns when it is ready.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` with everything that stands in the way, `UNAVAILABLE` with the last words of
 *   an enclave that did not come up.
 */
export async function startEnclaveNode(options: EnclaveNodeOptions, output: Output): Promise<RunningNode> {
  const startedAt = systemClock.monotonicMs();
  const file = resolve(options.file);
  const config = loadNodeConfig(file, process.env);
  const { findings, memoryMb } = await checkEnclave(config, await options.backendOf(config));
  requireReady(findings);
  if (options.debug) output.warn(DEBUG_WARNING);
  const dir = dirname(config.state.path);
  const lock = await takeStateFolder(dir, { reset: false, parties: 1 }, output);
  const logs: NodeLog[] = [];
  const release = async (): Promise<void> => {
    for (const log of logs) await log.close();
    lock.release();
  };
  try {
    const log = await openNodeLog(dir);
    const enclaveLog = await openNodeLog(dir, STATE_FILES.enclaveLog);
    logs.push(log, enclaveLog);
    const node = { ...options, file, config, dir, memoryMb, log, enclaveLog, startedAt };
    return await startAll(node, release, output);
  } catch (error) {
    await release();
    throw error;
  }
}

interface NodeParts extends EnclaveNodeOptions {
  readonly config: NodeConfig;
  readonly dir: string;
  readonly memoryMb: number;
  readonly log: NodeLog;
  readonly enclaveLog: NodeLog;
  readonly startedAt: number;
}

async function startAll(parts: NodeParts, release: () => Promise<void>, output: Output): Promise<RunningNode> {
  const { config, dir, log, enclaveLog, startedAt, backOff } = parts;
  let started = false;
  const tell = reporter(output);
  let engineFacts: unknown;
  const { programs, developer } = await programsOf(parts, output);
  const enrol = (facts: Readonly<Record<string, unknown>>): void => {
    developer?.onFacts(facts).catch((error: unknown) => output.warn(`not enrolled: ${describeFailure(error).message}`));
  };
  const supervisor: Supervisor = supervise(programs, {
    ...(backOff && { backOff }),
    startLimitMs: START_LIMIT_MS,
    onEvent: (event) => {
      if (event.kind === 'line') (event.name === 'enclave' ? enclaveLog : log).write(event.line);
      else log.write(launcherLine(event));
      if (event.kind === 'ready' && event.name === 'enclave') engineFacts = event.facts;
      if (event.kind === 'line' && event.name === 'enclave') enrol(parseLogLine(event.line) ?? {});
      if (started) tell(event);
    },
  });
  try {
    await supervisor.ready;
    const node = describeNode(parts, engineFacts);
    await writeNodeFile(dir, node);
    started = true;
    const stop = async (): Promise<void> => {
      started = false; // what is said from here on is about the end
      await removeNodeFile(dir);
      await supervisor.stop();
      await release();
    };
    return await runningNode({ dir, node, config, startedAt, supervisor, stop });
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
}

/** What becomes of the children, as a line of the log. */
function launcherLine(event: Exclude<SupervisorEvent, { kind: 'line' }>): string {
  const { kind, name: child } = event;
  const what =
    kind === 'ready' ? { ms: Math.round(event.ms) } : { why: describeExit(event.exit), retryInMs: event.retryInMs };
  const level = kind === 'ready' ? 'info' : 'warn';
  const time = new Date(systemClock.nowMs()).toISOString();
  return JSON.stringify({ level, time, name: 'launcher', event: `launcher.${kind}`, child, ...what });
}

/** The enclave and the Core; in developer mode the Core with the module that attests it. */
async function programsOf(parts: NodeParts, output: Output) {
  const { config, dir, file, memoryMb, debug, log, backendOf } = parts;
  const { image_path: image, cpus, cid } = enclaveOf(config);
  const core = coreProgram({
    developerMode: config.developer_mode,
    threshold: config.threshold !== undefined,
    configFile: file,
  });
  const developer = config.developer_mode ? await prepareDeveloper(parts, core, output) : undefined;
  const enclave = enclaveProgram({
    backend: await backendOf(config, developer?.instanceId),
    folder: await enclaveFolder(dir),
    image,
    memoryMb,
    cpus,
    cid,
    debug,
    document: () => bootDocument(config),
    routes: async (vsock) => proxyTable(config, vsock, await allowedDestinations(config)),
    developerRoot: developer?.root,
    onProxyLine: (line) => log.write(line),
  });
  return { programs: [enclave, ...(developer?.core ?? [core])], developer };
}

async function prepareDeveloper(
  { config, log }: NodeParts,
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
