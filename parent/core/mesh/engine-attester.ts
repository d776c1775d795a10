/**
 * How the engine's attester is, as the engine says while it can be asked: an alarm before its certificate ends, and the
 * reason in health once it has ended and no connection can be made any more.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { Gauge } from 'prom-client';
import type { Clock } from '../../../common/clock.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import { EngineStatusSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';

/** See the file comment. */
export interface EngineAttester {
  /** Asks the engine now; what it cannot answer leaves the last word standing. */
  ask(engine: EngineClient): Promise<void>;
  /** Reasons not to serve, for people. */
  reasons(): readonly string[];
  registerMetrics(registry: MetricsRegistry): void;
}

const TIMEOUT_MS = 5_000;
const NOTHING = new Uint8Array();

/** Returns what watches the engine's attester; nothing is known before the first answer. */
export function watchEngineAttester(clock: Clock): EngineAttester {
  let last: { readonly failures: number; readonly expiresMs: number } | undefined;
  const gauge = (name: string, help: string, read: () => number | undefined, registry: MetricsRegistry): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  };
  return {
    ask: async (engine) => {
      const body = await engine.call(ENGINE_METHOD.status, NOTHING, { timeoutMs: TIMEOUT_MS });
      const { failedRenewals, certificateExpiresMs } = fromBinary(EngineStatusSchema, body);
      last = { failures: failedRenewals, expiresMs: Number(certificateExpiresMs) };
    },
    reasons: () => {
      if (!last || last.failures === 0 || clock.nowMs() < last.expiresMs) return [];
      const ended = new Date(last.expiresMs).toISOString();
      return [`the engine's attester failed ${last.failures} times, and its certificate ended at ${ended}`];
    },
    registerMetrics: (registry) => {
      const failures = 'Renewals of the certificate of the engine that failed since the last good one';
      gauge('kms_mesh_engine_renewal_failures', failures, () => last?.failures, registry);
      const left = (): number | undefined => last && (last.expiresMs - clock.nowMs()) / 1000;
      gauge('kms_mesh_engine_certificate_expires_seconds', 'Seconds until that certificate ends', left, registry);
    },
  };
}
