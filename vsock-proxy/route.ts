/**
 * One route at work: takes connections within its limits, finds each its target, and joins the two.
 *
 * From then on the native relay moves the bytes; this file hears of the connection again when it is over.
 */
import type { Socket } from 'node:net';
import { sourceOf } from '../attestation/mesh/transport-tcp.ts';
import type { Clock } from '../common/clock.ts';
import { isKmsError, KmsError } from '../common/errors.ts';
import type { Logger } from '../common/log.ts';
import { joinSockets } from '../native/nitro/index.ts';
import { type Allowed, isAllowed, parseAllowed } from './allow-list.ts';
import type { RouteConfig } from './config.ts';
import { ESTABLISHED, type Refusal, readConnectHead, refusalAnswer } from './connect-request.ts';
import { type EndPoint, parseEndPoint } from './end-point.ts';
import type { Outcome, ProxyMetrics } from './metrics.ts';
import { openTarget } from './open-target.ts';
import type { ParentVsock } from './parent-vsock.ts';

/** What all routes of a proxy share. */
export interface RouteDeps {
  readonly vsock: ParentVsock;
  readonly metrics: ProxyMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

type Target = Exclude<EndPoint, { kind: 'connect' }>;

/** A connection that is open, with or without a target yet. */
interface Live {
  readonly source: string | undefined;
  target: Target | undefined;
  cut: () => void;
}

/** A route and its open connections. */
export interface Route {
  /** Takes a connection. */
  take(client: Socket): void;
  /** Puts other limits and targets in force, and tells which connections would not be made any more. */
  change(config: RouteConfig): Drain;
  /** All connections. */
  all(): Drain;
  readonly size: number;
}

/** Connections that are to end. */
export interface Drain {
  /** How many are open still. */
  left(): number;
  /** Ends those that are open still. */
  cut(): void;
}

/** Returns a route. Bytes are counted under `group`. */
export function makeRoute(initial: RouteConfig, group: number, deps: RouteDeps): Route {
  const { metrics, clock, log } = deps;
  const live = new Set<Live>();
  let config = initial;
  let to = targetOf(config);
  let allow = allowListOf(config);

  const isStillMade = ({ target }: Live): boolean => {
    if (!target) return false;
    if (to.kind !== 'connect') return JSON.stringify(to) === JSON.stringify(target);
    return target.kind === 'tcp' && isAllowed(allow, target);
  };

  const drain = (which: readonly Live[]): Drain => ({
    left: () => which.filter((one) => live.has(one)).length,
    cut: () => {
      for (const one of which) if (live.has(one)) one.cut();
    },
  });

  const isFull = (source: string | undefined): boolean => {
    if (live.size >= config.max_connections) return true;
    if (source === undefined) return false;
    let same = 0;
    for (const one of live) if (one.source === source) same++;
    return same >= config.max_per_source;
  };

  /** Finds the target and joins; resolves when the connection is over. */
  const relay = async (client: Socket, one: Live, signal: AbortSignal): Promise<Outcome> => {
    const startMs = clock.monotonicMs();
    let named: Target | undefined;
    if (to.kind === 'connect') {
      named = { kind: 'tcp', ...(await readConnectHead(client, signal)) };
      if (!isAllowed(allow, named)) throw new KmsError('PERMISSION_DENIED', 'not in the allow-list');
    }
    one.target = named ?? (to.kind === 'connect' ? undefined : to);
    if (!one.target) throw new KmsError('UNAVAILABLE', 'the route has changed');
    const target = await openTarget(one.target, deps.vsock, signal);
    const head = named ? { headToFirst: Buffer.from(ESTABLISHED) } : {};
    const join = joinSockets(client, target, { group, idleTimeoutMs: config.idle_timeout_ms, ...head });
    one.cut = join.cut;
    metrics.connectSeconds.observe({ route: config.name }, (clock.monotonicMs() - startMs) / 1000);
    const end = await join.ended;
    return end.how;
  };

  const serve = async (client: Socket, one: Live): Promise<void> => {
    const giveUp = new AbortController();
    const late = setTimeout(
      () => giveUp.abort(new KmsError('DEADLINE_EXCEEDED', 'too late')),
      config.connect_timeout_ms,
    );
    one.cut = () => giveUp.abort(new KmsError('CANCELLED', 'cut'));
    // Joining aborts nothing any more: the signal bounds the way to the target alone.
    const outcome = await relay(client, one, giveUp.signal).catch((error: unknown) => {
      const why = whyRefused(giveUp.signal.aborted ? giveUp.signal.reason : error);
      log.debug({ event: 'proxy.refused', route: config.name, why, err: error });
      if (why === 'cut' || to.kind !== 'connect') client.destroy();
      else refuse(client, why);
      return why;
    });
    clearTimeout(late);
    live.delete(one);
    metrics.connections.set({ route: config.name }, live.size);
    metrics.ended.inc({ route: config.name, outcome });
  };

  return {
    take: (client) => {
      client.on('error', () => undefined);
      const source = client.remoteAddress === undefined ? undefined : sourceOf(client.remoteAddress);
      if (isFull(source)) {
        metrics.ended.inc({ route: config.name, outcome: 'full' });
        if (to.kind === 'connect') refuse(client, 'full');
        else client.destroy();
        return;
      }
      const one: Live = { source, target: undefined, cut: () => undefined };
      live.add(one);
      metrics.connections.set({ route: config.name }, live.size);
      // Its failures are answered inside.
      void serve(client, one);
    },
    change: (next) => {
      config = next;
      to = targetOf(next);
      allow = allowListOf(next);
      return drain([...live].filter((one) => !isStillMade(one)));
    },
    all: () => drain([...live]),
    get size() {
      return live.size;
    },
  };
}

function refuse(client: Socket, why: Refusal): void {
  client.end(refusalAnswer(why), () => client.destroy());
}

function whyRefused(error: unknown): Refusal | 'cut' {
  if (isKmsError(error, 'REQUEST_INVALID')) return 'malformed';
  if (isKmsError(error, 'PERMISSION_DENIED')) return 'denied';
  if (isKmsError(error, 'DEADLINE_EXCEEDED')) return 'timeout';
  return isKmsError(error, 'CANCELLED') ? 'cut' : 'unreachable';
}

function targetOf({ to }: RouteConfig): EndPoint {
  const target = parseEndPoint(to);
  if (!target) throw new KmsError('CONFIG_INVALID', 'a route needs a target');
  return target;
}

function allowListOf({ allow }: RouteConfig): readonly Allowed[] {
  return allow.flatMap((text) => parseAllowed(text) ?? []);
}
