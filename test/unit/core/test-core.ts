/** A Core on a free port with a scripted engine, for tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { systemClock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import { createLogger, type LogLevel } from '../../../common/log.ts';
import { createRegistry } from '../../../common/metrics.ts';
import { openRateLimiter, type RateLimits } from '../../../parent/core/limits/rate-limiter.ts';
import { openCoreMetrics } from '../../../parent/core/metrics/open-core-metrics.ts';
import type { GenerationOutcome, GenerationRun, Generations } from '../../../parent/core/objects/generations.ts';
import { DEFAULT_WAITS, type Waits } from '../../../parent/core/rpc/deps.ts';
import { type Core, type CoreDeps, startCore } from '../../../parent/core/server.ts';
import { RequestStore } from '../../../parent/core/store/request-store.ts';
import { type KmsClient, openKmsClient } from '../../../parent/grpc/client.ts';
import { GrpcError } from '../../../parent/grpc/status.ts';
import type { EngineInfo } from '../../../proto/gen/engine_pb.js';
import { keccak256 } from '../../../wire/addresses.ts';
import { ScriptedEngine } from './scripted-engine.ts';

const RATE_LIMITS: RateLimits = {
  bucket_size: 50_000,
  pub_decrypt: 1,
  user_decrypt: 1,
  crsgen: 100,
  preproc: 25_000,
  keygen: 1000,
  new_epoch: 1,
};

/** Generations that end as the test says. */
export class ScriptedGenerations implements Generations {
  /** What a run does; ends at once unless replaced. */
  onRun: (run: GenerationRun) => Promise<Uint8Array> = async () => new Uint8Array(0);
  onSettle: (kind: string, id: string) => Promise<GenerationOutcome> = async () => ({
    state: 'failed',
    reason: 'engine stopped before the generation was complete',
  });
  readonly runs: GenerationRun[] = [];

  run(run: GenerationRun): Promise<Uint8Array> {
    this.runs.push(run);
    return this.onRun(run);
  }

  settle(kind: 'keygen' | 'crsgen', id: string): Promise<GenerationOutcome> {
    return this.onSettle(kind, id);
  }
}

/** A generation that goes on until it is aborted. */
export const untilAborted = ({ signal }: GenerationRun): Promise<Uint8Array> =>
  new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(new KmsError('ABORTED', 'generation aborted')));
  });

/** Settings of a test's Core. */
export interface TestCoreOptions {
  readonly file?: string;
  readonly insecure?: boolean;
  /** A party of a quorum, in front of an engine that says so; its port is open once it is settled or recovered. */
  readonly threshold?: boolean;
  readonly limits?: Partial<RateLimits>;
  readonly capacity?: { readonly decCapacity: number; readonly minDecCache: number };
  readonly waits?: Partial<Waits>;
  readonly engine?: ScriptedEngine;
  readonly generations?: ScriptedGenerations;
  readonly logLevel?: LogLevel;
  readonly hasBackupVault?: boolean;
  /** Off: `recover` is left to the test. */
  readonly recover?: boolean;
  readonly access?: Pick<CoreDeps, 'tls' | 'allow' | 'adminSocketPath' | 'admin'>;
}

/** A Core under test. */
export interface TestCore {
  readonly core: Core;
  readonly engine: ScriptedEngine;
  readonly generations: ScriptedGenerations;
  readonly client: KmsClient;
  readonly store: RequestStore;
  readonly file: string;
  readonly logs: string[];
  /** Descriptions that were handed over to be published. */
  readonly published: readonly EngineInfo[];
  /** Public objects that were removed. */
  readonly withdrawn: readonly string[];
  readonly limiterUsed: () => number;
  /** What a scrape gives. */
  readonly metrics: () => Promise<string>;
  /** Calls by RPC name with an encoded request. */
  raw(rpc: string, body: Uint8Array): Promise<Uint8Array>;
  /** As raw, but returns the status only. */
  status(rpc: string, body: Uint8Array): Promise<string>;
  stop(): Promise<void>;
}

/** Returns a database file in a folder that the test removes. */
export function storeFile(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'arca-core-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'core.sqlite');
}

/** Starts a Core that the test stops. */
export async function startTestCore(t: Test, options: TestCoreOptions = {}): Promise<TestCore> {
  const { engine = new ScriptedEngine(), generations = new ScriptedGenerations(), insecure = true } = options;
  const file = options.file ?? storeFile(t);
  const store = new RequestStore({ file, ...(options.capacity ?? { decCapacity: 10_000, minDecCache: 6000 }) });
  const logs: string[] = [];
  const published: EngineInfo[] = [];
  const withdrawn: string[] = [];
  const registry = createRegistry();
  const limiter = openRateLimiter({ ...RATE_LIMITS, ...options.limits });
  const core = await startCore({
    engine,
    generations,
    store,
    limiter,
    metrics: openCoreMetrics(registry),
    log: createLogger({
      name: 'core',
      level: options.logLevel ?? 'debug',
      destination: { write: (line) => void logs.push(line) },
    }),
    clock: systemClock,
    keccak: keccak256,
    insecure,
    threshold: options.threshold ?? false,
    engineTimeoutMs: 60_000,
    hasBackupVault: options.hasBackupVault ?? false,
    publish: async (info) => void published.push(info),
    withdraw: async (type, id) => void withdrawn.push(`${type}/${id}`),
    storageInfo: 'file storage',
    health: { reasons: () => [] },
    listen: { host: '127.0.0.1', port: 0 },
    waits: { ...DEFAULT_WAITS, recordMs: 20, ...options.waits },
    ...options.access,
  });
  if (options.recover !== false) await core.recover();
  await core.listen();
  const client = openKmsClient(`${options.access?.tls ? 'https' : 'http'}://127.0.0.1:${core.address.port}`);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      client.close();
      await core.close(50);
      await engine.close();
      store.close();
    })();
    return stopped;
  };
  t.teardown(stop);
  const raw = (rpc: string, body: Uint8Array): Promise<Uint8Array> =>
    client.callRaw(rpc.startsWith('/') ? rpc : `/kms_service.v1.CoreServiceEndpoint/${rpc}`, body);
  const status = (rpc: string, body: Uint8Array): Promise<string> =>
    raw(rpc, body).then(
      () => 'OK',
      (error: unknown) => (error instanceof GrpcError ? error.statusName : String(error)),
    );
  const limiterUsed = (): number => limiter.used;
  const metrics = (): Promise<string> => registry.metrics();
  const seen = { logs, published, withdrawn, limiterUsed, metrics };
  return { core, engine, generations, client, store, file, ...seen, raw, status, stop };
}
