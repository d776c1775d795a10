/**
 * The operator's window: `/metrics /health /live /ready /version /config` (spec 10). Shows nothing secret.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { cpus } from 'node:os';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import type { Health } from '../health.ts';
import { type ListenAt, type RunningHttpServer, sendText, startHttpServer } from './http-server.ts';

/** What the server needs. */
export interface OpsDeps {
  readonly registry: MetricsRegistry;
  readonly health: Health;
  /** What an operator should know beside the reasons, and what keeps nobody from being served; none if absent. */
  readonly notes?: (() => Promise<readonly string[]>) | undefined;
  readonly version: string;
  /** Number of a party of a quorum; a centralized node is none. */
  readonly party?: number | undefined;
  /** The effective config, redacted. */
  readonly config: unknown;
}

type Page = (response: ServerResponse, deps: OpsDeps) => Promise<void> | void;

const PAGES: Readonly<Record<string, Page>> = {
  '/metrics': async (response, { registry }) => sendText(response, 200, registry.contentType, await registry.metrics()),
  '/live': (response) => sendText(response, 200, 'text/plain', 'alive'),
  '/health': (response, deps) => sendHealth(response, deps, 'ok'),
  '/ready': sendReadiness,
  '/version': (response, { version, party }) =>
    sendText(response, 200, 'text/plain', party === undefined ? version : `${version}\nthreshold, party ${party}\n`),
  '/config': (response, deps) => sendText(response, 200, 'application/json', JSON.stringify(shown(deps), null, 2)),
};

/** Starts the operator's server. */
export function serveOps(at: ListenAt, deps: OpsDeps): Promise<RunningHttpServer> {
  return startHttpServer(at, { maxConnections: 64, idleMs: 30_000 }, (request, response) =>
    show(request, response, deps),
  );
}

async function show(request: IncomingMessage, response: ServerResponse, deps: OpsDeps): Promise<void> {
  const [path = ''] = (request.url ?? '').split('?');
  const page = Object.hasOwn(PAGES, path) ? PAGES[path] : undefined;
  if (page) await page(response, deps);
  else sendText(response, 404, 'text/plain', 'not found\n');
}

function sendHealth(response: ServerResponse, { health }: OpsDeps, well: string): void {
  const reasons = health.reasons();
  if (reasons.length === 0) sendText(response, 200, 'text/plain', well);
  else sendText(response, 503, 'text/plain', `${reasons.join('\n')}\n`);
}

/** As `/health`, with the notes: a backup that is behind is no reason to send clients elsewhere, and nothing to hide. */
async function sendReadiness(response: ServerResponse, { health, notes }: OpsDeps): Promise<void> {
  const reasons = health.reasons();
  const lines = [...(reasons.length === 0 ? ['ready'] : reasons), ...((await notes?.()) ?? [])];
  const text = lines.join('\n');
  if (reasons.length === 0) sendText(response, 200, 'text/plain', lines.length === 1 ? text : `${text}\n`);
  else sendText(response, 503, 'text/plain', `${text}\n`);
}

/**
 * The configuration and, of a party of a quorum, what no setting says: its number, and the processor, since parties compute
 * the same bytes on the same kind alone.
 */
function shown({ config, party }: OpsDeps): unknown {
  if (party === undefined || typeof config !== 'object') return config;
  const processor = cpus()[0]?.model ?? 'unknown';
  return { ...config, node: { type: 'threshold', party, processor, arch: process.arch } };
}
