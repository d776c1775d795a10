/**
 * The configuration of one node, shared by engine, core and CLI: the schema is the manual.
 *
 * Section and key names are those of the published KMS where it has them (its specification, section 9.2).
 * Published sections whose part is not built yet are refused by name, never silently dropped.
 */
import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { redactConfig } from './config.ts';
import { valueAt } from './config-env.ts';
import { LOG_LEVELS } from './log.ts';
import { attestationSection, meshSection } from './node-config-attestation.ts';
import { awsSection } from './node-config-aws.ts';
import { enclaveSection } from './node-config-enclave.ts';
import {
  awsOnlyInDeveloperMode,
  awsWhereUsed,
  backupOfSealedAlone,
  developerKeys,
  emulatorsOnlyInDeveloperMode,
  honestUnlessDeveloper,
  notAbove,
  type Rule,
  roleForKeys,
} from './node-config-rules.ts';
import { thresholdSection } from './node-config-threshold.ts';
import { adminSocketPath, tlsSection } from './node-config-tls.ts';
import { backupVaultSection, bucketName, privateVaultSection, publicVaultSection } from './node-config-vaults.ts';

const MEBIBYTE = 1024 * 1024;
/** Longest name that Linux takes for a Unix socket. */
const MAX_SOCKET_PATH_BYTES = 107;

const port = z.int().min(1, 'needs a port of 1 to 65535').max(65_535, 'needs a port of 1 to 65535');
const address = z
  .string()
  .refine((text) => text === 'localhost' || isIP(text) !== 0, 'needs an IP address or localhost');
const absolutePath = z.string().refine(isAbsolute, 'needs an absolute path');
const tokens = z.int().nonnegative('needs 0 or more');
/** A published key or section that this release refuses, and why. */
const unavailable = (why: string) =>
  z
    .never({ error: `${why}; remove it` })
    .optional()
    .describe(`Refused: ${why}.`);

const later = 'is not available in this release';

const service = z
  .strictObject({
    listen_address: address.default('127.0.0.1').describe('Address on which clients reach the gRPC service.'),
    listen_port: port.default(50_051).describe('Port of the gRPC service.'),
    timeout_secs: z
      .int()
      .min(1, 'needs 1 to 86400 seconds')
      .max(86_400, 'needs 1 to 86400 seconds')
      .default(360)
      .describe('Longest a request may take, in seconds; 300 more are granted for the answer.'),
    grpc_max_message_size: z
      .int()
      .min(1, 'needs at least 1 byte')
      .max(127 * MEBIBYTE, 'needs at most 133169152 bytes (127 MiB): frames to the engine hold 128 MiB')
      .default(100 * MEBIBYTE)
      .describe('Longest gRPC message in either direction, in bytes.'),
    allow_plaintext_clients: z
      .boolean()
      .default(false)
      .describe('Lets a node without TLS listen on addresses that other machines reach.'),
    admin_socket_path: adminSocketPath.optional(),
    tls: tlsSection.optional(),
  })
  .prefault({})
  .describe('The gRPC service for clients.');

const engine = z
  .strictObject({
    socket_path: absolutePath
      .refine(
        (text) => Buffer.byteLength(text) <= MAX_SOCKET_PATH_BYTES,
        `needs at most ${MAX_SOCKET_PATH_BYTES} bytes`,
      )
      .describe('Unix socket on which the engine serves its core.'),
    treat_v0_extra_data_as_empty: z
      .boolean()
      .default(false)
      .describe('Signs empty extra_data where a request carries the single byte 0x00, as clients of 0.12 verify.'),
  })
  .describe('The link between core and engine.');

const publicHttp = z
  .strictObject({
    listen_address: address.default('127.0.0.1').describe('Address on which public material is served over HTTP.'),
    listen_port: port.default(9000).describe('Port of the public material.'),
    bucket: bucketName.default('kms').describe('First part of every address, as clients of S3 expect it.'),
  })
  .prefault({})
  .describe('Public material over HTTP.');

const state = z
  .strictObject({ path: absolutePath.describe('SQLite file of the request store.') })
  .describe('The request store.');

/** A listener that other machines reach must be asked for twice. */
function loopbackOnly(section: string, field: string): Rule {
  const check = (table: unknown): boolean => {
    const text = valueAt(table, [section, field]);
    if (typeof text !== 'string' || valueAt(table, ['service', 'allow_plaintext_clients']) === true) return true;
    if (section === 'service' && valueAt(table, ['service', 'tls']) !== undefined) return true;
    const host = parseHostPort(text)?.host ?? text;
    // What is no address at all is a fault of its own.
    return isLoopback(host) || isIP(host) === 0;
  };
  const message =
    'other machines would reach this address without TLS: use 127.0.0.1, or set service.allow_plaintext_clients = true';
  return [check, { path: [section, field], message, when: () => true }];
}

const rateLimiter = z
  .strictObject({
    bucket_size: z
      .int()
      .positive('needs 1 or more')
      .default(50_000)
      .describe('Tokens in the bucket that all requests share.'),
    pub_decrypt: tokens.default(1).describe('Tokens held by a public decryption.'),
    user_decrypt: tokens.default(1).describe('Tokens held by a user decryption.'),
    crsgen: tokens.default(100).describe('Tokens held by a CRS generation.'),
    preproc: tokens.default(25_000).describe('Tokens held by a preprocessing.'),
    keygen: tokens.default(1000).describe('Tokens held by a key generation.'),
    new_epoch: tokens.default(1).describe('Tokens held by the making of an epoch.'),
  })
  .refine(...notAbove('pub_decrypt', 'bucket_size'))
  .refine(...notAbove('user_decrypt', 'bucket_size'))
  .refine(...notAbove('crsgen', 'bucket_size'))
  .refine(...notAbove('preproc', 'bucket_size'))
  .refine(...notAbove('keygen', 'bucket_size'))
  .refine(...notAbove('new_epoch', 'bucket_size'))
  .prefault({})
  .describe('Limits on work in flight; checked before a request is even read.');

const store = z
  .strictObject({
    dec_capacity: z
      .int()
      .positive('needs 1 or more')
      .default(10_000)
      .describe('Decryption requests kept, of each kind.'),
    min_dec_cache: z
      .int()
      .nonnegative('needs 0 or more')
      .default(6000)
      .describe('Finished decryptions always kept, of each kind.'),
  })
  .refine(...notAbove('min_dec_cache', 'dec_capacity'))
  .prefault({})
  .describe('Capacities of the request store.');

const telemetry = z
  .strictObject({
    metrics_bind_address: z
      .string()
      .refine((text) => parseHostPort(text) !== undefined, 'needs an IP address and a port, such as 127.0.0.1:9646')
      .default('127.0.0.1:9646')
      .describe('Address of metrics, health and version over HTTP.'),
    log_level: z
      .enum(LOG_LEVELS, `needs one of ${LOG_LEVELS.join(', ')}`)
      .default('info')
      .describe('How much the log says.'),
    tracing_service_name: unavailable(`tracing ${later}`),
    tracing_endpoint: unavailable(`tracing ${later}`),
    tracing_otlp_timeout_ms: unavailable(`tracing ${later}`),
    batch: unavailable(`tracing ${later}`),
    enable_sys_metrics: unavailable('metrics of the process are always on'),
    refresh_interval_ms: unavailable('metrics are read when they are asked for'),
  })
  .prefault({})
  .describe('Log, metrics and health.');

const file = z.strictObject({
  developer_mode: z
    .boolean()
    .default(false)
    .describe('Clear vaults and insecure operations; accepted by the developer programs alone.'),
  service,
  engine,
  aws: awsSection.optional(),
  public_vault: publicVaultSection,
  attestation: attestationSection,
  mesh: meshSection,
  private_vault: privateVaultSection,
  backup_vault: backupVaultSection.optional(),
  public_http: publicHttp,
  state,
  rate_limiter_conf: rateLimiter,
  store,
  telemetry,
  threshold: thresholdSection.optional(),
  enclave: enclaveSection.optional(),
  keychain: unavailable('each vault has a keychain of its own'),
  enclave_bootstrap: unavailable('an enclave gets its configuration from `arca run`: see [enclave]'),
  bandwidth_benchmark: unavailable('the limits of the bandwidth test are fixed'),
  migration: unavailable('there is no older state of the published KMS to migrate'),
  internal_config: unavailable('thread pools size themselves'),
  mock_enclave: unavailable('there is no mock enclave; use developer_mode'),
});

const RULES: readonly Rule[] = [
  loopbackOnly('service', 'listen_address'),
  loopbackOnly('public_http', 'listen_address'),
  loopbackOnly('telemetry', 'metrics_bind_address'),
  developerKeys(),
  honestUnlessDeveloper(),
  ...awsOnlyInDeveloperMode(),
  awsWhereUsed(),
  ...roleForKeys(),
  backupOfSealedAlone(),
  emulatorsOnlyInDeveloperMode(),
];

/**
 * The whole file. Unknown keys are errors, so a typo never falls back to a default; a listener that other machines
 * reach needs `[service.tls]` or `allow_plaintext_clients`.
 */
export const NodeConfig = RULES.reduce((schema, rule) => schema.refine(...rule), file);

/** See {@link NodeConfig}. */
export type NodeConfig = z.infer<typeof NodeConfig>;

/** Returns whether an address is reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/**
 * Reads `host:port`, the host an IP address (IPv6 in brackets) or `localhost`. Undefined if it is anything else.
 *
 * @example
 * parseHostPort('[::1]:9646'); // { host: '::1', port: 9646 }
 */
export function parseHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const bracketed = match?.[1] !== undefined;
  const known = bracketed ? isIP(host) === 6 : host === 'localhost' || isIP(host) === 4;
  const number = Number(match?.[3]);
  return known && number >= 1 && number <= 65_535 ? { host, port: number } : undefined;
}

/** Returns a node's configuration fit for `/config` and the log. */
export function redactNodeConfig(config: NodeConfig): unknown {
  return redactConfig(NodeConfig, config);
}
