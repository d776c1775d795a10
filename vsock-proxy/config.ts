/**
 * The configuration of a vsock-proxy: the schema is the manual. What is not listed there is not relayed.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { KmsError } from '../common/errors.ts';
import { LOG_LEVELS } from '../common/log.ts';
import { parseAllowed } from './allow-list.ts';
import { parseEndPoint, parseHostPort } from './end-point.ts';

const milliseconds = (max: number) =>
  z.int().min(1, `needs 1 to ${max} milliseconds`).max(max, `needs 1 to ${max} milliseconds`);
const count = z.int().min(1, 'needs 1 to 65536').max(65_536, 'needs 1 to 65536');

const vsock = z
  .strictObject({
    cid: z.int().min(1).max(0xfffffffe).optional().describe('Context id of the enclave, on a Nitro parent.'),
    path: z
      .string()
      .refine(isAbsolute, 'needs an absolute path')
      .optional()
      .describe('Unix socket of vhost-device-vsock, where QEMU runs the enclave.'),
  })
  .refine(({ cid, path }) => (cid === undefined) !== (path === undefined), 'needs either cid or path')
  .describe('Where the enclave is. Fixed while the proxy runs.');

const telemetry = z
  .strictObject({
    log_level: z.enum(LOG_LEVELS).default('info').describe('How much the proxy logs.'),
    metrics_listen: z
      .string()
      .refine((text) => parseHostPort(text.replace(/:0$/, ':1')) !== undefined, 'needs host:port')
      .optional()
      .describe('Address of /metrics and /health; none if absent. Fixed while the proxy runs.'),
  })
  .describe('What the proxy tells of itself.');

const route = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,31}$/, 'needs 1 to 32 small letters, digits and hyphens')
      .describe('Name of the route in logs and metrics.'),
    from: z
      .string()
      .refine(
        (text) => parseEndPoint(text) !== undefined && text !== 'connect',
        'needs unix:/path, tcp:host:port or vsock:port',
      )
      .describe('Where connections are taken.'),
    to: z
      .string()
      .refine((text) => parseEndPoint(text) !== undefined, 'needs unix:/path, tcp:host:port, vsock:port or connect')
      .describe('Where they go; with connect each names its target, in the words of HTTP CONNECT.'),
    allow: z
      .array(z.string().refine((text) => parseAllowed(text) !== undefined, 'needs host:port or *.domain:port'))
      .max(1024, 'needs at most 1024 entries')
      .default([])
      .describe('Targets that connections may name, with to = "connect" alone.'),
    max_connections: count.default(1024).describe('Connections at the same time; more are closed at once.'),
    max_per_source: count.default(64).describe('Of these, from one IP address or IPv6 /64; with tcp alone.'),
    connect_timeout_ms: milliseconds(600_000).default(10_000).describe('Until a connection has its target.'),
    idle_timeout_ms: milliseconds(86_400_000)
      .default(600_000)
      .describe('A connection over which nothing went for so long is closed.'),
  })
  .refine(({ from, to }) => from.startsWith('vsock:') !== to.startsWith('vsock:'), {
    path: ['to'],
    message: 'one end of a route, and not both, needs to be vsock',
  })
  .refine(({ to, allow }) => (to === 'connect') === allow.length > 0, {
    path: ['allow'],
    message: 'needs entries if to = "connect", and none otherwise',
  })
  .describe('A way through the proxy.');

/** The whole file. */
export const ProxyConfig = z.strictObject({
  vsock,
  telemetry: telemetry.prefault({}),
  drain_secs: z
    .int()
    .min(0, 'needs 0 to 3600 seconds')
    .max(3600, 'needs 0 to 3600 seconds')
    .default(10)
    .describe('How long connections may go on that a stop or a new configuration ends.'),
  route: z
    .array(route)
    .min(1, 'needs at least one route')
    .max(64, 'needs at most 64 routes')
    .superRefine((routes, context) => {
      for (const key of ['name', 'from'] as const) {
        const seen = new Set<string>();
        for (const [index, one] of routes.entries()) {
          if (seen.has(one[key])) context.addIssue({ code: 'custom', path: [index, key], message: `repeats a ${key}` });
          seen.add(one[key]);
        }
      }
    })
    .describe('The routes.'),
});

/** A configuration that was checked. */
export type ProxyConfig = z.output<typeof ProxyConfig>;

/** One route of it. */
export type RouteConfig = ProxyConfig['route'][number];

/** Returns where the enclave is. */
export function vsockPlace({ vsock: { cid, path } }: ProxyConfig): { cid: number } | { path: string } {
  if (path !== undefined) return { path };
  if (cid !== undefined) return { cid };
  throw new KmsError('CONFIG_INVALID', '[vsock] needs either cid or path');
}
