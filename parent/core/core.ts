/**
 * Composes a Core: request store, public vault, engine client, the gRPC service and its two HTTP neighbours.
 *
 * It listens at once, so that clients and probes get an answer, and serves when the engine has been heard and what
 * the last run left has been taken up. The port for clients of a threshold node opens then, and not before. Holds no
 * secret. Spec: kms-service 1.7.
 */
import { type Clock, systemClock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { createRegistry, parseMetricsLabels } from '../../common/metrics.ts';
import { isLoopback, type NodeConfig, parseHostPort, redactNodeConfig } from '../../common/node-config.ts';
import { vaultPrefix } from '../../common/node-config-vaults.ts';
import { packageVersion } from '../../common/package-version.ts';
import { keccak256 } from '../../native/engine/public.ts';
import { openFileTlsSource, type TlsSource } from '../grpc/tls-source.ts';
import { attestWith } from './admin/attest.ts';
import { openAttestedTlsSource } from './admin/attested-certificate.ts';
import { becomeReady } from './boot/become-ready.ts';
import { openPublicVault } from './boot/public-vault.ts';
import { openEngineClient } from './engine-client/reconnecting-client.ts';
import { joinHealth } from './health.ts';
import { attestationPage } from './http/attestation.ts';
import { type ListenAt, listenError, type RunningHttpServer } from './http/http-server.ts';
import { serveOps } from './http/ops.ts';
import { servePublicMaterial } from './http/public-material.ts';
import { openRateLimiter } from './limits/rate-limiter.ts';
import type { CoreMesh } from './mesh/core-mesh.ts';
import { registerBackupMetrics } from './metrics/backup-metrics.ts';
import { openCoreMetrics } from './metrics/open-core-metrics.ts';
import { registerProcessMetrics } from './metrics/process-metrics.ts';
import { registerQuorumMetrics } from './metrics/quorum-metrics.ts';
import { registerStartMetrics } from './metrics/start-metrics.ts';
import { openGenerations } from './objects/open-generations.ts';
import { followQuorum } from './quorum/follow-quorum.ts';
import { startCore } from './server.ts';
import { RequestStore } from './store/request-store.ts';
import { vaultNotes } from './vault-notes.ts';

/** What a Core is made of. */
export interface CoreOptions {
  readonly config: NodeConfig;
  /** Whether insecure RPCs exist and the engine is to be one of developer mode. */
  readonly developerMode: boolean;
  readonly log: Logger;
  readonly clock?: Clock;
  /** How it reaches the engine and others; the Core owns it from now on. */
  readonly mesh: CoreMesh;
  /** What the engine complained of last while it starts, for people; undefined when nothing is known. */
  readonly engineTrouble?: (() => string | undefined) | undefined;
  /** Value of `KMS_METRICS_LABELS`. */
  readonly metricsLabels?: string | undefined;
}

/** A Core that listens. */
export interface RunningCore {
  /** Where clients reach it, of a threshold node once it is ready. */
  readonly clientUrl: string;
  readonly publicUrl: string;
  readonly opsUrl: string;
  /** Resolves when it serves. Rejects if it is closed before. */
  readonly ready: Promise<void>;
  /** Reasons why it does not serve, for people; empty when it does. */
  reasons(): readonly string[];
  /** Takes no more calls, lets those under way end for up to `graceMs`, closes everything. */
  close(graceMs: number): Promise<void>;
}

const AWAITS_RESTORE = 'the private vault is lost: restore it from a backup, and start the node again';
/** Waits beyond `service.timeout_secs`, as published, until a handler is cut off. */
const EXTRA_CALL_SECS = 300;

/**
 * Starts a Core and resolves when it listens.
 *
 * @throws KmsError STATE_INVALID, CONFIG_INVALID naming the file, port or setting that stands in the way.
 */
export async function runCore(options: CoreOptions): Promise<RunningCore> {
  const { config, log } = options;
  warnOfOpenBindings(config, log);
  const opened: (() => Promise<void> | void)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of opened.splice(0).reverse()) await close();
  };
  try {
    return await open(options, opened, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function open(
  { config, developerMode, log, clock = systemClock, mesh, engineTrouble, metricsLabels }: CoreOptions,
  opened: (() => Promise<void> | void)[],
  closeAll: () => Promise<void>,
): Promise<RunningCore> {
  const { service, store: capacity, public_http: publicHttp, threshold } = config;
  opened.push(() => mesh.close());
  const registry = createRegistry(parseMetricsLabels(metricsLabels));
  const metrics = openCoreMetrics(registry, threshold && mesh.party !== undefined ? String(mesh.party) : undefined);
  const version = packageVersion();
  registerProcessMetrics(registry, version);
  mesh.registerMetrics(registry);

  const store = new RequestStore({
    file: config.state.path,
    decCapacity: capacity.dec_capacity,
    minDecCache: capacity.min_dec_cache,
    clock,
    onFault: (err, { kind, id }) => log.error({ event: 'store.fault', kind, requestId: id, err }),
  });
  opened.push(() => store.close());
  const vault = await openPublicVault(config, log);
  opened.push(() => vault.close());
  const engine = openEngineClient({ dial: mesh.dial, developerMode, log, clock });
  opened.push(() => engine.close());
  opened.push(mesh.follow(engine));
  const quorum = threshold ? followQuorum(engine, log) : undefined;
  opened.push(() => quorum?.close());
  if (quorum) registerQuorumMetrics(registry, { engine, clock });
  if (config.backup_vault) registerBackupMetrics(registry, { engine, clock });
  registerStartMetrics(registry, { engine, clock });
  const tls = await openClientTls(config, mesh, clock, log);
  opened.push(() => tls?.close());
  const limiter = openRateLimiter(config.rate_limiter_conf);

  const listen = { host: service.listen_address, port: service.listen_port, setting: 'service.listen_port' };
  const parts = joinHealth(
    () => vault.objects.faults(),
    () => mesh.reasons(),
    () => {
      const { awaitsRestore, restoreReason } = engine.info() ?? {};
      return awaitsRestore ? [restoreReason || AWAITS_RESTORE] : (quorum?.reasons() ?? []);
    },
  );
  const core = await naming(
    listen,
    startCore({
      engine,
      engineTrouble,
      generations: openGenerations({ engine, ...vault, log }),
      store,
      limiter,
      metrics,
      log,
      clock,
      keccak: keccak256,
      insecure: developerMode,
      threshold: threshold !== undefined,
      engineTimeoutMs: service.timeout_secs * 1000,
      hasBackupVault: config.backup_vault !== undefined,
      publish: (info) => vault.follow(info),
      withdraw: async (type, id) => void (await vault.storage.delete([type, id])),
      onRestored: () => mesh.forgetVault?.() ?? Promise.resolve(),
      storageInfo: vault.description,
      health: parts,
      listen,
      tls,
      allow: service.tls?.allow,
      adminSocketPath: service.admin_socket_path,
      admin: { corePeers: () => mesh.peers(), onGovernance: (state) => mesh.takeGovernance(state) },
      limits: {
        maxMessageBytes: service.grpc_max_message_size,
        callTimeoutMs: (service.timeout_secs + EXTRA_CALL_SECS) * 1000,
      },
    }),
  );
  opened.push(() => core.close(0));
  const health = joinHealth(
    () => core.reasons(),
    () => parts.reasons(),
  );
  const serveConnectors = (): Promise<void> => mesh.serveConnectors((stream, peer) => core.inject(stream, peer));
  if (!quorum) await serveConnectors();
  const prefix = vaultPrefix(config.public_vault);
  const materialServer = await servePublicMaterial(
    { host: publicHttp.listen_address, port: publicHttp.listen_port, setting: 'public_http.listen_port' },
    {
      objects: vault.objects,
      bucket: publicHttp.bucket,
      prefix,
      attestation: attestationPage({ attest: attestWith(engine), clock, log }),
    },
  );
  opened.push(() => materialServer.close(0));
  const opsServer = await openOps(config, {
    ...{ registry, health, version, party: threshold && mesh.party },
    notes: vaultNotes(engine),
  });
  opened.push(() => opsServer.close(0));
  const openToAll = async (): Promise<void> => {
    await naming(listen, core.listen());
    await serveConnectors();
  };

  return {
    get clientUrl() {
      return urlOf(core.address, tls ? 'https' : 'http');
    },
    publicUrl: `${materialServer.url}/${publicHttp.bucket}/${prefix}`,
    opsUrl: opsServer.url,
    ready: becomeReady({ core, engine, vault, quorum, openToAll, log }),
    reasons: () => health.reasons(),
    close: async (graceMs) => {
      await Promise.all([core.close(graceMs), materialServer.close(graceMs)]);
      await closeAll();
    },
  };
}

/** The certificates of the client port: from files, or attested; none where the configuration has no section for it. */
async function openClientTls(
  { service: { tls } }: NodeConfig,
  { endpoint }: CoreMesh,
  clock: Clock,
  log: Logger,
): Promise<TlsSource | undefined> {
  if (!tls) return undefined;
  const { cert_path: certPath, key_path: keyPath, client_ca_path: clientCaPath } = tls;
  if (tls.attested) {
    if (!endpoint) throw new KmsError('CONFIG_INVALID', 'service.tls.attested needs an attested node');
    return await openAttestedTlsSource({ endpoint, clientCaPath, clock, log });
  }
  if (certPath === undefined || keyPath === undefined) {
    throw new KmsError('CONFIG_INVALID', 'service.tls needs cert_path and key_path, or attested = true');
  }
  return await openFileTlsSource({ certPath, keyPath, clientCaPath }, { clock, log });
}

/** Waits for what listens; an address that cannot be had is named with its setting. */
async function naming<T>(at: ListenAt, listening: Promise<T>): Promise<T> {
  try {
    return await listening;
  } catch (error) {
    throw isKmsError(error, 'STATE_INVALID') && error.facts.port === at.port ? listenError(error.cause, at) : error;
  }
}

function openOps(config: NodeConfig, deps: Omit<Parameters<typeof serveOps>[1], 'config'>): Promise<RunningHttpServer> {
  const setting = 'telemetry.metrics_bind_address';
  const { host, port } = parseHostPort(config.telemetry.metrics_bind_address) ?? { host: '127.0.0.1', port: 0 };
  return serveOps({ host, port, setting }, { ...deps, config: redactNodeConfig(config) });
}

/** The configuration lets these pass only if they were asked for by name; the log says so at each start. */
function warnOfOpenBindings({ service, public_http: publicHttp, telemetry }: NodeConfig, log: Logger): void {
  const bindings = {
    // With TLS it is no plaintext.
    ...(service.tls ? {} : { 'service.listen_address': service.listen_address }),
    'public_http.listen_address': publicHttp.listen_address,
    'telemetry.metrics_bind_address': parseHostPort(telemetry.metrics_bind_address)?.host ?? '',
  };
  for (const [setting, address] of Object.entries(bindings)) {
    if (isLoopback(address)) continue;
    log.warn({ event: 'core.plaintext_binding', setting, address }, 'other machines reach this address in plaintext');
  }
}

function urlOf({ host, port }: { readonly host: string; readonly port: number }, scheme: 'http' | 'https'): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
