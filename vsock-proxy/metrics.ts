/**
 * What a vsock-proxy counts. Labels are names of routes and of reasons; nothing that a connection said becomes one.
 */
import { Counter, Gauge, Histogram } from 'prom-client';
import type { MetricsRegistry } from '../common/metrics.ts';

/** Why a connection was refused, or how it ended. */
export type Outcome =
  | 'malformed'
  | 'denied'
  | 'unreachable'
  | 'full'
  | 'timeout'
  | 'orderly'
  | 'idle'
  | 'cut'
  | 'failed';

/** The metrics of a proxy. */
export interface ProxyMetrics {
  readonly connections: Gauge<'route'>;
  readonly ended: Counter<'route' | 'outcome'>;
  readonly foreign: Counter;
  readonly connectSeconds: Histogram<'route'>;
  readonly reloads: Counter<'result'>;
}

/**
 * Registers the metrics of a proxy.
 *
 * @param traffic - The bytes that each route has moved so far: up from its clients, and down to them.
 */
export function proxyMetrics(
  registry: MetricsRegistry,
  traffic: () => Iterable<readonly [route: string, up: number, down: number]>,
): ProxyMetrics {
  const registers = [registry];
  new Counter({
    name: 'kms_proxy_bytes_total',
    help: 'Bytes relayed: up from who connected, down to it.',
    labelNames: ['route', 'direction'] as const,
    registers,
    collect() {
      this.reset();
      for (const [route, up, down] of traffic()) {
        this.inc({ route, direction: 'up' }, up);
        this.inc({ route, direction: 'down' }, down);
      }
    },
  });
  return {
    connections: new Gauge({
      name: 'kms_proxy_connections',
      help: 'Connections that are open now, those without a target yet included.',
      labelNames: ['route'] as const,
      registers,
    }),
    ended: new Counter({
      name: 'kms_proxy_ended_total',
      help: 'Connections that ended, and how; those that were refused included.',
      labelNames: ['route', 'outcome'] as const,
      registers,
    }),
    foreign: new Counter({
      name: 'kms_proxy_foreign_total',
      help: 'vsock connections from elsewhere than the enclave, closed at once.',
      registers,
    }),
    connectSeconds: new Histogram({
      name: 'kms_proxy_connect_seconds',
      help: 'From a connection to its target.',
      labelNames: ['route'] as const,
      buckets: [0.001, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10],
      registers,
    }),
    reloads: new Counter({
      name: 'kms_proxy_reloads_total',
      help: 'New configurations that were taken or refused.',
      labelNames: ['result'] as const,
      registers,
    }),
  };
}
