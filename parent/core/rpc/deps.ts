/**
 * What the request handlers of the Core need. Everything comes in here, so that tests can pass their own.
 */
import type { Clock } from '../../../common/clock.ts';
import type { Logger } from '../../../common/log.ts';
import type { EngineInfo } from '../../../proto/gen/engine_pb.js';
import type { Keccak256 } from '../../../wire/addresses.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';
import type { RateLimiter } from '../limits/rate-limiter.ts';
import type { CoreMetrics } from '../metrics/core-metrics.ts';
import type { Generations } from '../objects/generations.ts';
import type { RequestStore } from '../store/request-store.ts';

/** See the file comment. */
export interface RpcDeps {
  readonly engine: EngineClient;
  readonly generations: Generations;
  readonly store: RequestStore;
  readonly limiter: RateLimiter;
  readonly metrics: CoreMetrics;
  readonly log: Logger;
  readonly clock: Clock;
  readonly keccak: Keccak256;
  /** Whether the RPCs of the insecure set exist. */
  readonly insecure: boolean;
  /** Whether the engine holds one party's shares; it holds whole keys otherwise. */
  readonly threshold: boolean;
  /** Longest that the engine may work on one decryption. */
  readonly engineTimeoutMs: number;
  /** Whether the node's configuration has a backup vault. */
  readonly hasBackupVault: boolean;
  /** Publishes what the engine's description vouches for and the public vault does not have yet. */
  readonly publish: (info: EngineInfo) => Promise<void>;
  /** Removes a public object that the engine's description no longer vouches for. */
  readonly withdraw: (type: string, id: string) => Promise<void>;
  /** Told once the private vault was restored; resolves once that is durable. */
  readonly onRestored?: (() => Promise<void>) | undefined;
  /** How storage is described to operators, such as `file storage, prefix PUB`. */
  readonly storageInfo: string;
  /** Aborts when the node stops: nothing new is begun, what runs is left for the next start. */
  readonly stopping: AbortSignal;
  /** Longest waits, only ever changed by tests. */
  readonly waits: Waits;
}

/** How long calls wait for something to finish. */
export interface Waits {
  /** A `*Sync` call or a decryption's `Get…Result`, for its result. */
  readonly resultMs: number;
  /** A `*Sync` call beyond that: the engine's own window ends then, and its word says how many parties were asked. */
  readonly lastWordMs: number;
  /** The start of a preprocessing, for its record: clients of a centralized node use it without asking first. */
  readonly recordMs: number;
  /** `GetKeyGenPreprocResult` of a threshold node, for its result: preprocessing is work there. */
  readonly preprocessingMs: number;
  /** A decryption whose quorum is missing, at least this long between two questions to the engine. */
  readonly quorumMs: number;
  /** Decryptions in line, at most so long for each one at the engine of a threshold node. */
  readonly turnMs: number;
  /** An abort, for the engine's word on it. */
  readonly abortMs: number;
}

/** The waits of the published service. */
export const DEFAULT_WAITS: Waits = {
  resultMs: 60_000,
  lastWordMs: 250,
  recordMs: 2000,
  preprocessingMs: 300_000,
  quorumMs: 1000,
  turnMs: 5000,
  abortMs: 5000,
};
