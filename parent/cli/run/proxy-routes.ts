/**
 * The routes of a node's vsock-proxy, written anew at every start: the Core's way to its engine, the other parties' way to it,
 * and whom the engine may be connected to by name. What is not listed is not reached.
 */
import { decodeCharter, verifyRecord } from '../../../attestation/governance/index.ts';
import { ENCLAVE_PORT, PARENT_PORT } from '../../../common/enclave-boot.ts';
import type { BootImport } from '../../../common/enclave-boot-import.ts';
import { isKmsError } from '../../../common/errors.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { VsockPlace } from '../../../vsock-proxy/parent-vsock.ts';
import { readIfThere } from '../supervise/developer-trust.ts';

/** What the program vsock-proxy reads, as TOML has it. */
export interface ProxyTable {
  readonly vsock: VsockPlace;
  readonly telemetry: { readonly log_level: string };
  readonly route: readonly ProxyRoute[];
}

/** One way through. */
interface ProxyRoute {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Only of a route to `connect`. */
  readonly allow?: readonly string[];
}

/** Where an instance hands out the keys of its role; it has no name. */
const METADATA = '169.254.169.254:80';
const HTTPS = 443;

/** Returns the table for one start. */
export function proxyTable(config: NodeConfig, vsock: VsockPlace, allow: readonly string[]): ProxyTable {
  const { threshold, engine, telemetry } = config;
  const mesh = threshold && `tcp:${hostPort(threshold.listen_address, threshold.listen_port)}`;
  return {
    vsock,
    telemetry: { log_level: telemetry.log_level },
    route: [
      { name: 'core', from: `unix:${engine.socket_path}`, to: `vsock:${ENCLAVE_PORT.core}` },
      ...(mesh ? [{ name: 'mesh', from: mesh, to: `vsock:${ENCLAVE_PORT.mesh}` }] : []),
      // Without anybody to be connected to there is no way out at all.
      ...(allow.length > 0 ? [{ name: 'egress', from: `vsock:${PARENT_PORT.egress}`, to: 'connect', allow }] : []),
    ],
  };
}

/** Whom an engine may be connected to, each `host:port`. */
export interface Destinations {
  /** AWS in the regions of vaults and keys, or the emulators in their place. */
  readonly aws: readonly string[];
  /** Where the keys of the instance's role are. */
  readonly metadata: readonly string[];
  /** The other parties of the governed record; nobody if it does not verify. */
  readonly parties: readonly string[];
  /** What the operator added. */
  readonly added: readonly string[];
}

/** Returns them by what they are. */
export async function destinationsOf(config: NodeConfig): Promise<Destinations> {
  const { parties, regions } = await readRecord(config);
  const { aws, enclave } = config;
  const emulators = emulatorsOf(config);
  return {
    aws: aws && emulators.length === 0 ? awsDestinations(config, aws.region, regions) : emulators,
    metadata: aws?.instance_role === true ? [METADATA] : [],
    parties,
    added: enclave?.egress ?? [],
  };
}

/** Returns all of them, sorted. */
export async function allowedDestinations(config: NodeConfig): Promise<readonly string[]> {
  const { aws, metadata, parties, added } = await destinationsOf(config);
  return [...new Set([...aws, ...metadata, ...parties, ...added])].sort();
}

/** Returns where the vaults of another node and their root key are; emulators are reached anyway. */
export function importDestinations(config: NodeConfig, job: BootImport): readonly string[] {
  const { aws } = config;
  if (aws === undefined || emulatorsOf(config).length > 0) return [];
  const buckets = [job.private.bucket, job.public.bucket];
  return namesAt(aws.region, buckets, [regionOf(job.root_key.arn)]);
}

function emulatorsOf({ aws }: NodeConfig): readonly string[] {
  const urls = [aws?.developer_s3_endpoint, aws?.developer_kms_endpoint, aws?.developer_sts_endpoint];
  return urls.filter((url) => url !== undefined).map(originOf);
}

function awsDestinations(config: NodeConfig, region: string, keyRegions: readonly string[]): readonly string[] {
  const vaults = [config.public_vault, config.private_vault, config.backup_vault];
  const buckets = vaults.flatMap((vault) => vault?.storage.s3?.bucket ?? []);
  return namesAt(region, buckets, keyRegions);
}

function namesAt(region: string, buckets: readonly string[], keyRegions: readonly string[]): readonly string[] {
  const s3 = `s3.${region}.${suffixOf(region)}`;
  const kms = [...new Set([region, ...keyRegions])].map((name) => `kms.${name}.${suffixOf(name)}`);
  return [s3, ...buckets.map((bucket) => `${bucket}.${s3}`), ...kms].map((host) => `${host}:${HTTPS}`);
}

const regionOf = (arn: string): string => arn.split(':')[3] ?? '';

const suffixOf = (region: string): string => (region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com');

/** Where the other parties are, and in which regions this one's keys are. */
async function readRecord({ attestation }: NodeConfig) {
  const none = { parties: [], regions: [] };
  const [charterBytes, recordBytes] = [
    await readIfThere(attestation.charter_path),
    await readIfThere(attestation.record_path),
  ];
  if (!charterBytes || !recordBytes) return none;
  try {
    const charter = decodeCharter(charterBytes);
    const { body } = verifyRecord(recordBytes, charter);
    const others = body.parties.filter(({ party }) => party !== charter.party);
    const keys = body.parties.find(({ party }) => party === charter.party)?.aws;
    const ids = [keys?.primaryKeyId, keys?.backupKeyId, keys?.previousKeyId].filter((id) => id !== undefined);
    return {
      parties: others.flatMap(({ endpoint }) => endpoint ?? []),
      regions: ids.map(regionOf),
    };
  } catch (error) {
    if (!isKmsError(error)) throw error;
    return none;
  }
}

function originOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port === '' ? (protocol === 'https:' ? 443 : 80) : port}`;
}

function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
