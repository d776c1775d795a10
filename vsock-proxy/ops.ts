/**
 * `/metrics` and `/health` of a proxy, for the operator's own network.
 */
import { createServer } from 'node:http';
import { parseTcpAddress } from '../attestation/mesh/transport-tcp.ts';
import { KmsError, systemErrorCode } from '../common/errors.ts';
import type { MetricsRegistry } from '../common/metrics.ts';

/**
 * Serves them.
 *
 * @returns The port, for who asked for any.
 * @throws {@link KmsError} `UNAVAILABLE` if the address is taken.
 */
export async function serveOps(
  address: string,
  registry: MetricsRegistry,
): Promise<{ readonly port: number; close(): void }> {
  const { host, port } = parseTcpAddress(address);
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 15_000, keepAliveTimeout: 5_000 });
  server.maxConnections = 64;
  server.on('request', (request, response) => {
    if (request.method !== 'GET') return void response.writeHead(405).end();
    if (request.url === '/health') return void response.writeHead(200).end('ok\n');
    if (request.url !== '/metrics') return void response.writeHead(404).end();
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ host, port }, resolve);
  await promise.catch((error: unknown) => {
    const errno = systemErrorCode(error) ?? 'unknown';
    throw new KmsError('UNAVAILABLE', `cannot serve metrics on ${address}: ${errno}`, { errno }, error);
  });
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound ? bound.port : port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
