/**
 * The checks of `arca doctor`. Each finds one thing out, changes nothing, and throws a failure that names the cure.
 */
import { stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { type Clock, systemClock } from '../../../common/clock.ts';
import type { KmsError } from '../../../common/errors.ts';
import { type NodeConfig, parseHostPort } from '../../../common/node-config.ts';
import { openKmsClient } from '../../grpc/client.ts';
import { GrpcError } from '../../grpc/status.ts';
import { fetchOps } from '../client/ops.ts';
import { fetchNodeAddress } from '../client/signer.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import { failure, hasCode } from '../framework/failure.ts';
import { isMarkedDown } from '../quorum/down-mark.ts';
import { findLockHolder } from '../supervise/folder-lock.ts';
import { type NodeFile, readNodeFile } from '../supervise/node-file.ts';
import { choosePorts } from '../supervise/ports.ts';
import {
  entriesNamedBy,
  inspectStateFolder,
  requireUsableStateFolder,
  STATE_FILES,
} from '../supervise/state-folder.ts';
import { AWS_CHECKS, type AwsCheck } from './aws-checks.ts';
import { ATTESTATION_CHECK, ENCLAVE_CHECKS, type EnclaveCheckStep } from './enclave-checks.ts';

/** What the checks find out on their way; later ones use what earlier ones found. */
export interface Findings {
  readonly dir: string;
  readonly clock: Clock;
  /** Configuration of a node whose folder does not have it, absolute. */
  readonly configFile?: string | undefined;
  /** The node that runs on the folder, if one does. */
  node?: NodeFile;
}

/** One check: returns what it found, or `undefined` if it does not apply because no node runs. */
export interface Check {
  readonly name: string;
  /** Whether there is anything to check; always if absent. */
  applies?(findings: Findings): Promise<boolean>;
  run(findings: Findings): Promise<string | undefined>;
}

const OLDEST_NODE = 24;
/** Any clock before this is wrong: it is when this program was written. */
const EARLIEST_TIME_MS = Date.UTC(2026, 0, 1);
const CLOCK_SLACK_MS = 60_000;
const SERVING = 1;

/** All checks, each after those it builds upon. */
export const CHECKS: readonly Check[] = [
  { name: 'node version', run: checkNodeVersion },
  { name: 'native library', run: checkLibrary },
  { name: 'folder', run: checkFolder },
  { name: 'lock', run: checkLock },
  ...ENCLAVE_CHECKS.map(onEnclave),
  ...AWS_CHECKS.map(onAws),
  { name: 'ports', run: checkPorts },
  { name: 'engine', run: checkEngine },
  { name: 'core', run: checkCore },
  { name: 'public material', run: checkPublicMaterial },
  { name: 'clock', run: checkClock },
  onEnclave(ATTESTATION_CHECK),
];

async function checkNodeVersion(): Promise<string> {
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= OLDEST_NODE) return `${process.version} at ${process.execPath}`;
  throw failure('STATE_INVALID', `Node ${OLDEST_NODE} or newer is needed, this is ${process.version}`, "run 'npm ci'");
}

async function checkLibrary(): Promise<string> {
  try {
    await import('../../../native/engine/public.ts');
    return 'loads';
  } catch (error) {
    const cure = "build it with 'npm run build' (needs cargo and a C compiler)";
    throw failure('STATE_INVALID', 'the native library cannot be loaded', cure, {}, error);
  }
}

async function checkFolder(findings: Findings): Promise<string> {
  const { dir } = findings;
  const config = await readConfig(findings);
  const found = await requireUsableStateFolder(dir, config && entriesNamedBy(config, configPath(findings)));
  switch (found.kind) {
    case 'ours':
      return `${dir}, format version ${found.version}`;
    case 'empty':
    case 'absent':
    case 'refused':
      return `${dir} is ${found.kind}: '${startCommand(config, configPath(findings))}' will make it`;
  }
}

async function checkLock(findings: Findings): Promise<string> {
  const { dir } = findings;
  if ((await inspectStateFolder(dir)).kind !== 'ours') return 'free';
  const pid = findLockHolder(dir);
  if (pid === undefined) return 'free: no node runs on this folder';
  try {
    findings.node = await readNodeFile(dir);
  } catch (error) {
    if (await isMarkedDown(dir)) {
      const anew =
        'start its quorum anew, without --kill-party; the other parties can be checked one by one with --dir';
      throw failure('UNAVAILABLE', `the party on ${dir} is down: its quorum took it down`, anew, { pid });
    }
    const cure = `wait until it is ready; if that takes long, see ${dir}/${STATE_FILES.log}`;
    throw failure('UNAVAILABLE', `process ${pid} holds the folder, but its node is not ready`, cure, { pid }, error);
  }
  return `held by process ${pid}`;
}

/** Of a node that has something in AWS. Emulators run with their node, so without it there is nobody to ask. */
function onAws({ name, run }: AwsCheck): Check {
  return {
    name,
    applies: async (findings) => {
      const aws = (await readConfig(findings))?.aws;
      return aws !== undefined && (aws.developer_s3_endpoint === undefined || findings.node !== undefined);
    },
    run: async (findings) => {
      const config = await readConfig(findings);
      return config && (await run(config));
    },
  };
}

/** Of a node whose engine runs in an enclave. */
function onEnclave({ name, run }: EnclaveCheckStep): Check {
  return {
    name,
    applies: async (findings) => (await readConfig(findings))?.enclave !== undefined,
    run: async (findings) => {
      const config = await readConfig(findings);
      return config && (await run({ config, dir: findings.dir, isRunning: findings.node !== undefined }));
    },
  };
}

/** The configuration of the node that runs, or of the one that is to; undefined where there is none yet. */
async function readConfig(findings: Findings): Promise<NodeConfig | undefined> {
  const file = configPath(findings);
  return (await exists(file)) ? loadNodeConfig(file, process.env) : undefined;
}

function configPath({ dir, node, configFile }: Findings): string {
  return node?.configFile ?? configFile ?? `${dir}/${STATE_FILES.config}`;
}

/** Says how the node that was looked at is started. */
export async function howToStart(findings: Findings): Promise<string> {
  return startCommand(await readConfig(findings), configPath(findings));
}

function startCommand(config: NodeConfig | undefined, file: string): string {
  return config?.enclave ? `arca run --config ${file}` : 'arca dev';
}

async function checkPorts(findings: Findings): Promise<string> {
  const { node, dir } = findings;
  if (node === undefined) {
    const wanted = await configuredPorts(findings);
    await choosePorts(wanted);
    return `${wanted.map(({ port }) => port).join(', ')} are free`;
  }
  await requireListener(node.opsUrl);
  const urls = [node.publicUrl, node.clientUrl];
  for (const url of urls) {
    await requireListener(url).catch(async (error: unknown) => {
      // A party of a quorum opens the port for clients last: what it waits for says more.
      throw (await notServing(node, dir).catch(() => undefined)) ?? error;
    });
  }
  return [...urls, node.opsUrl].map((url) => new URL(url).port).join(', ');
}

const requireListener = (url: string): Promise<void> => {
  const { hostname, port } = new URL(url);
  return requireConnection({ host: hostname, port: Number(port) });
};

/** The ports that the next start takes: those of node.toml if there is one, else the defaults. */
async function configuredPorts(findings: Findings) {
  const config = await readConfig(findings);
  const ops = parseHostPort(config?.telemetry.metrics_bind_address ?? '');
  const [service, http] = [config?.service, config?.public_http];
  return [
    {
      purpose: 'clients',
      option: 'arca dev --port',
      address: service?.listen_address ?? '127.0.0.1',
      port: service?.listen_port ?? 50_051,
    },
    {
      purpose: 'public material',
      option: 'arca dev --public-port',
      address: http?.listen_address ?? '127.0.0.1',
      port: http?.listen_port ?? 9000,
    },
    {
      purpose: 'metrics and health',
      option: 'arca dev --ops-port',
      address: ops?.host ?? '127.0.0.1',
      port: ops?.port ?? 9646,
    },
  ];
}

async function checkEngine({ node, dir }: Findings): Promise<string | undefined> {
  if (node === undefined) return undefined;
  try {
    await requireConnection({ path: node.engineSocket });
  } catch (error) {
    const cure = `its supervisor starts it again; the reason stands in ${dir}/${STATE_FILES.log}`;
    throw failure('UNAVAILABLE', `the engine does not answer on ${node.engineSocket}`, cure, {}, error);
  }
  return `answers on ${node.engineSocket}`;
}

async function checkCore({ node, dir }: Findings): Promise<string | undefined> {
  if (node === undefined) return undefined;
  // A port with TLS may have a certificate of an authority that this machine knows nothing of.
  const isSecured = node.clientUrl.startsWith('https:') && node.adminSocket !== undefined;
  const client = openKmsClient(isSecured ? `unix:${node.adminSocket}` : node.clientUrl);
  try {
    const status = await client.health('', { timeoutMs: 5000 });
    if (Number(status) === SERVING) return `serves on ${node.clientUrl}`;
    const why = await notServing(node, dir);
    if (why !== undefined) throw why;
    return `serves on ${node.clientUrl}, by now`;
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    const cure = `its supervisor starts it again; the reason stands in ${dir}/${STATE_FILES.log}`;
    throw failure('UNAVAILABLE', `the core does not answer on ${node.clientUrl}`, cure, {}, error);
  } finally {
    client.close();
  }
}

/** What the Core says of itself; undefined if it serves. */
async function notServing({ opsUrl }: NodeFile, dir: string): Promise<KmsError | undefined> {
  const { status, body } = await fetchOps(`${opsUrl}/health`);
  if (status === 200) return undefined;
  return failure('UNAVAILABLE', `the core does not serve: ${body.trim()}`, `see ${dir}/${STATE_FILES.log}`);
}

async function checkPublicMaterial({ node }: Findings): Promise<string | undefined> {
  return node === undefined ? undefined : `node ${await fetchNodeAddress(node.publicUrl)}`;
}

async function checkClock({ clock, node }: Findings): Promise<string> {
  const now = clock.nowMs();
  const startedAt = node === undefined ? EARLIEST_TIME_MS : Date.parse(node.startedAt);
  if (now < EARLIEST_TIME_MS || now + CLOCK_SLACK_MS < startedAt) {
    const what = `the machine's clock says ${new Date(now).toISOString()}, which is in the past`;
    throw failure('STATE_INVALID', what, 'set the clock, best by NTP, and start the node again');
  }
  return new Date(now).toISOString();
}

/** Checks of the machine, which are the same for all parties of a quorum on it. */
export const MACHINE_CHECKS: ReadonlySet<string> = new Set(['node version', 'native library', 'clock']);

/** The system's clock, unless a test brings its own. */
export function newFindings(dir: string, clock: Clock = systemClock, configFile?: string): Findings {
  return { dir, clock, configFile };
}

function requireConnection(
  target: { readonly host: string; readonly port: number } | { readonly path: string },
): Promise<void> {
  const where = 'path' in target ? target.path : `${target.host}:${target.port}`;
  return new Promise<void>((resolve, reject) => {
    const socket = connect(target);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', (error) => {
      const cure = "see node.log of the state folder; 'arca dev' starts a node";
      reject(failure('UNAVAILABLE', `nothing listens on ${where}`, cure, {}, error));
    });
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return false;
    throw error;
  }
}
