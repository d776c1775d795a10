/**
 * The relay between an enclave and everything else: the routes of a configuration, and nothing besides. It ends no TLS,
 * reads no byte that it relays but the head of a CONNECT, and is trusted by nobody.
 */
import { isDeepStrictEqual } from 'node:util';
import { KmsError } from '../common/errors.ts';
import type { MetricsRegistry } from '../common/metrics.ts';
import { joinedTraffic } from '../native/nitro/index.ts';
import { type ProxyConfig, type RouteConfig, vsockPlace } from './config.ts';
import { parseEndPoint } from './end-point.ts';
import { listenRoute } from './listen-route.ts';
import { proxyMetrics } from './metrics.ts';
import { type ParentListener, parentVsock } from './parent-vsock.ts';
import { type Drain, makeRoute, type Route, type RouteDeps } from './route.ts';

/** What a proxy needs. */
export interface ProxyDeps extends Pick<RouteDeps, 'clock' | 'log'> {
  readonly registry: MetricsRegistry;
}

/** A running proxy. */
export interface VsockProxy {
  /**
   * Puts another configuration in force: all of it or, if it cannot be, nothing. Where both have a route from the same
   * end, no connection is lost that the new one would make too; others end after `drain_secs`.
   *
   * @param read - Reads it; what it throws is a refusal too.
   * @throws {@link KmsError} `PRECONDITION_FAILED` if it moves the enclave or the metrics or gives a route another name,
   * `UNAVAILABLE` or `ALREADY_EXISTS` if a new route cannot listen.
   */
  reload(read: () => ProxyConfig): Promise<ProxyConfig>;
  /** Connections that are open now. */
  readonly size: number;
  /** Takes no more connections, and ends the open ones after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

interface Running {
  readonly route: Route;
  readonly listener: ParentListener;
}

/** Groups of the native relay's counters, by route: one for each name that the process has seen. */
const groups = new Map<string, number>();

function groupOf(name: string): number {
  const group = groups.get(name) ?? groups.size + 1;
  groups.set(name, group);
  return group;
}

/**
 * Starts the routes of a configuration.
 *
 * @throws {@link KmsError} `UNAVAILABLE` or `ALREADY_EXISTS` if one cannot listen; then none does.
 */
export async function startProxy(initial: ProxyConfig, { registry, clock, log }: ProxyDeps): Promise<VsockProxy> {
  let config = initial;
  const names = new Set<string>();
  const metrics = proxyMetrics(registry, function* () {
    for (const name of names) yield [name, ...joinedTraffic(groupOf(name))];
  });
  const onForeign = (cid: number, port: number): void => {
    metrics.foreign.inc();
    log.debug({ event: 'proxy.foreign', cid, port });
  };
  const deps: RouteDeps = { vsock: parentVsock(vsockPlace(config), { onForeign }), metrics, clock, log };
  /** By where they begin. */
  const running = new Map<string, Running>();

  const start = async (from: RouteConfig): Promise<Running> => {
    const end = parseEndPoint(from.from);
    if (!end) throw new KmsError('CONFIG_INVALID', 'a route needs a beginning');
    const route = makeRoute(from, groupOf(from.name), deps);
    const listener = await listenRoute(end, deps.vsock, route.take);
    names.add(from.name);
    return { route, listener };
  };
  /** All of them or none. */
  const startAll = async (routes: readonly RouteConfig[]): Promise<ReadonlyMap<string, Running>> => {
    const started = new Map<string, Running>();
    try {
      for (const route of routes) started.set(route.from, await start(route));
    } catch (error) {
      for (const { route, listener } of started.values()) {
        await listener.close();
        route.all().cut();
      }
      throw error;
    }
    return started;
  };

  for (const [from, one] of await startAll(config.route)) running.set(from, one);

  const change = async (next: ProxyConfig): Promise<void> => {
    refuseMoves(config, next);
    const started = await startAll(next.route.filter(({ from }) => !running.has(from)));
    const drains: Drain[] = [];
    for (const [from, { route, listener }] of running) {
      const kept = next.route.find((one) => one.from === from);
      if (kept) {
        drains.push(route.change(kept));
        continue;
      }
      running.delete(from);
      await listener.close();
      drains.push(route.all());
    }
    for (const [from, one] of started) running.set(from, one);
    config = next;
    // Nobody waits for it: the new configuration is in force.
    void drained(drains, next.drain_secs * 1000);
  };

  return {
    reload: async (read) => {
      try {
        await change(read());
      } catch (error) {
        metrics.reloads.inc({ result: 'refused' });
        throw error;
      }
      metrics.reloads.inc({ result: 'taken' });
      return config;
    },
    get size() {
      let size = 0;
      for (const { route } of running.values()) size += route.size;
      return size;
    },
    close: async (graceMs) => {
      const all = [...running.values()];
      for (const { listener } of all) await listener.close();
      await drained(
        all.map(({ route }) => route.all()),
        graceMs,
      );
    },
  };
}

function refuseMoves(old: ProxyConfig, next: ProxyConfig): void {
  const names = new Map(old.route.map(({ from, name }) => [from, name]));
  const moves = [
    ...(isDeepStrictEqual(next.vsock, old.vsock) ? [] : ['[vsock]']),
    ...(next.telemetry.metrics_listen === old.telemetry.metrics_listen ? [] : ['metrics_listen']),
    ...next.route.filter(({ from, name }) => (names.get(from) ?? name) !== name).map(({ name }) => `route ${name}`),
  ];
  if (moves.length === 0) return;
  throw new KmsError('PRECONDITION_FAILED', `needs a restart of the proxy to change: ${moves.join(', ')}`);
}

const LOOK_EVERY_MS = 50;

/** Waits until the connections have ended by themselves, for so long at most, and then ends them. */
async function drained(drains: readonly Drain[], graceMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = setInterval(() => drains.every((one) => one.left() === 0) && resolve(), LOOK_EVERY_MS);
  const late = setTimeout(resolve, graceMs);
  if (drains.some((one) => one.left() > 0)) await promise;
  clearInterval(look);
  clearTimeout(late);
  for (const one of drains) one.cut();
}
