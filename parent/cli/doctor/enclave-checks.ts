/**
 * The checks of `arca doctor` on a node whose engine runs in an enclave, in the order in which its start needs them: the parent
 * instance, names, the allow-list of vsock-proxy, connections, TLS; and, once it runs, its attestation.
 *
 * Everything is tried from the parent, which has the network; TLS is checked here against the authorities that the engine has.
 */
import { lookup as systemLookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ATTEST_NONCE_BYTES } from '../../../attestation/attest-facts.ts';
import { systemClock } from '../../../common/clock.ts';
import { parseConfig } from '../../../common/config.ts';
import { systemErrorCode } from '../../../common/errors.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { systemRandom } from '../../../common/random.ts';
import { ProxyConfig } from '../../../vsock-proxy/config.ts';
import { attestationUrlOf, fetchAttestation } from '../attest/fetch-attestation.ts';
import { judgeAttestation } from '../attest/judge.ts';
import { openTrust } from '../attest/trust.ts';
import { failure, hasCode } from '../framework/failure.ts';
import { backendOf } from '../run/backends.ts';
import { checkEnclave, requireReady } from '../run/enclave-checks.ts';
import { proxyFile } from '../run/enclave-program.ts';
import { enclaveFolder } from '../run/node-enclave.ts';
import { allowedDestinations, destinationsOf } from '../run/proxy-routes.ts';

/** What a check of an enclave's node knows. */
export interface EnclaveFindings {
  readonly config: NodeConfig;
  /** State folder. */
  readonly dir: string;
  readonly isRunning: boolean;
  /** Looks a name up; the system's resolver unless a test brings its own. */
  readonly lookup?: (host: string) => Promise<{ readonly address: string }>;
}

/** One check on a node with an enclave: returns what it found. */
export interface EnclaveCheckStep {
  readonly name: string;
  run(findings: EnclaveFindings): Promise<string>;
}

/** Checks before anything of AWS is asked, each after those it builds upon. */
export const ENCLAVE_CHECKS: readonly EnclaveCheckStep[] = [
  { name: 'parent instance', run: checkParent },
  { name: 'DNS', run: checkNames },
  { name: 'allow-list', run: checkAllowList },
  { name: 'TCP', run: checkTcp },
  { name: 'TLS', run: checkTls },
];

/** Of the running node, after everything else. */
export const ATTESTATION_CHECK: EnclaveCheckStep = { name: 'attestation', run: checkAttestation };

const TIMEOUT_MS = 5_000;
const MAX_AGE_MS = 60_000;

interface Destination {
  readonly host: string;
  readonly port: number;
}

async function checkParent({ config }: EnclaveFindings): Promise<string> {
  const { findings, memoryMb } = await checkEnclave(config, await backendOf(config));
  requireReady(findings);
  return `${findings.map(({ name }) => name).join(', ')}: as needed, ${memoryMb} MB`;
}

async function checkNames({ config, lookup = systemLookup }: EnclaveFindings): Promise<string> {
  const hosts = (await allowedDestinations(config)).map((where) => hostPort(where).host);
  const names = [...new Set(hosts.filter((host) => isIP(host) === 0))];
  for (const name of names) {
    try {
      await lookup(name);
    } catch (error) {
      const cure =
        'check the resolver of this machine (resolvectl query NAME), the region, and the endpoints of the record';
      const why = systemErrorCode(error) ?? 'failed';
      throw failure('UNAVAILABLE', `the name ${name} cannot be looked up: ${why}`, cure, { name }, error);
    }
  }
  return `${names.length} names are known`;
}

/** What is allowed follows from configuration and record at each start; a proxy that runs has to know of changes since. */
async function checkAllowList({ config, dir, isRunning }: EnclaveFindings): Promise<string> {
  const wanted = await allowedDestinations(config);
  if (!isRunning) return `${wanted.length} destinations will be allowed`;
  const file = proxyFile(await enclaveFolder(dir));
  const proxy = parseConfig(ProxyConfig, { text: await readFile(file, 'utf8'), env: {}, name: file });
  const allowed = new Set(proxy.route.flatMap(({ allow }) => allow));
  const missing = wanted.filter((destination) => !allowed.has(destination));
  if (missing.length === 0) return `${wanted.length} destinations are allowed`;
  const what = `vsock-proxy does not let the engine reach ${missing.join(', ')}`;
  throw failure(
    'STATE_INVALID',
    what,
    'it follows the governed record within seconds; after a change of node.toml restart',
  );
}

async function checkTcp({ config }: EnclaveFindings): Promise<string> {
  const { parties, ...needed } = await destinationsOf(config);
  const all = Object.values(needed).flat();
  for (const where of all) {
    try {
      await opened(connectTcp(hostPort(where)), 'connect');
    } catch (error) {
      const cure = 'let the security group and the routes of this instance through, or correct the endpoint';
      const why = systemErrorCode(error) ?? 'no answer';
      throw failure('UNAVAILABLE', `${where} cannot be reached: ${why}`, cure, { where }, error);
    }
  }
  // A party that is down is its operator's affair: a quorum goes on without it.
  const silent = await silentOf(parties);
  return `${all.length} answer${silent.length === 0 ? '' : `; parties that do not: ${silent.join(', ')}`}`;
}

async function silentOf(parties: readonly string[]): Promise<readonly string[]> {
  const tries = await Promise.allSettled(parties.map((where) => opened(connectTcp(hostPort(where)), 'connect')));
  return parties.filter((_, at) => tries[at]?.status === 'rejected');
}

async function checkTls({ config }: EnclaveFindings): Promise<string> {
  const secured = await securedOrigins(config);
  const ca = await authoritiesOf(config);
  for (const { host, port } of secured) {
    const options = { host, port, ...(isIP(host) === 0 && { servername: host }), ...(ca && { ca: [...ca] }) };
    try {
      await opened(connectTls(options), 'secureConnect');
    } catch (error) {
      const why = systemErrorCode(error) ?? 'failed';
      const cure = 'nothing may end TLS between the enclave and AWS: take inspecting proxies out of the way';
      throw failure('UNAVAILABLE', `TLS with ${host}:${port} fails: ${why}`, cure, { host, port }, error);
    }
  }
  return `${secured.length} certificates hold`;
}

async function checkAttestation({ dir, isRunning }: EnclaveFindings): Promise<string> {
  if (!isRunning) return 'no node runs';
  const trust = await openTrust({ dir });
  const nonce = systemRandom(ATTEST_NONCE_BYTES.max / 2);
  const attestation = await fetchAttestation(await attestationUrlOf({ dir }), nonce);
  const time = { kind: 'live', nowMs: systemClock.nowMs(), maxAgeMs: MAX_AGE_MS } as const;
  const { ok, faults, explanation } = await judgeAttestation(attestation, trust, { time, nonce, address: undefined });
  if (ok) return `holds: release ${explanation.release ?? 'unknown'}${trust.developer ? ' (DEVELOPER ROOT)' : ''}`;
  const cure =
    "see every check with 'arca attest verify'; was the enclave started in debug mode, or the image replaced?";
  throw failure('ATTESTATION_REJECTED', `the attestation does not hold: ${faults.join('; ')}`, cure);
}

function hostPort(text: string): Destination {
  const { hostname, port } = new URL(`tcp://${text}`);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
}

/** What ends TLS for AWS; the other parties' is judged by the engine alone. */
async function securedOrigins(config: NodeConfig): Promise<readonly Destination[]> {
  const { developer_s3_endpoint: s3, developer_kms_endpoint: kms } = config.aws ?? {};
  if (s3 === undefined && kms === undefined) return (await destinationsOf(config)).aws.map(hostPort);
  const urls = [s3, kms].flatMap((url) => (url === undefined ? [] : [new URL(url)]));
  return urls
    .filter(({ protocol }) => protocol === 'https:')
    .map(({ hostname, port }) => ({ host: hostname, port: Number(port || 443) }));
}

/**
 * Returns the authorities that count for AWS, in PEM, where they are not those that Node ships: before emulators.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if their file is not there.
 */
export async function authoritiesOf({ enclave }: NodeConfig): Promise<readonly string[] | undefined> {
  const path = enclave?.developer_authorities_path;
  if (path === undefined) return undefined;
  try {
    return [await readFile(path, 'utf8')];
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    throw failure('CONFIG_INVALID', `enclave.developer_authorities_path: ${path} is not there`, 'correct the path');
  }
}

/** Waits for a connection within its time, and closes it. */
function opened(socket: ReturnType<typeof connectTcp>, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    socket.once(event, () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
