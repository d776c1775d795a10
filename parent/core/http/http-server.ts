/**
 * Small HTTP servers for reading: bounded, without a framework, closed to everything but GET and HEAD.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KmsError, systemErrorCode } from '../../../common/errors.ts';

/** Where a server listens and which setting says so, for errors that people read. */
export interface ListenAt {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Name of the config key that holds the port. */
  readonly setting: string;
}

/** A server that runs. */
export interface RunningHttpServer {
  readonly url: string;
  readonly port: number;
  /** Stops listening, lets answers under way finish for at most `graceMs`, then cuts them. */
  close(graceMs: number): Promise<void>;
}

/** Answers one request; a rejection becomes a bare 500. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void;

/** Bounds of one server. */
export interface HttpLimits {
  readonly maxConnections: number;
  /** A connection on which nothing moves for so long is cut. */
  readonly idleMs: number;
}

/**
 * Starts a server for GET and HEAD; other methods get 405, request bodies are never read.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` naming address and setting when the address cannot be listened on.
 */
export async function startHttpServer(
  at: ListenAt,
  limits: HttpLimits,
  handler: HttpHandler,
): Promise<RunningHttpServer> {
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 15_000, keepAliveTimeout: 5_000 });
  server.maxConnections = limits.maxConnections;
  server.timeout = limits.idleMs;
  server.maxHeadersCount = 100;
  server.on('request', (request, response) => void answer(request, response, handler));
  await listen(server, at);
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const host = at.host.includes(':') ? `[${at.host}]` : at.host;
  return { url: `http://${host}:${port}`, port, close: (graceMs) => closeServer(server, graceMs) };
}

/** Writes a whole answer of text. HEAD gets the same headers. */
export function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  const body = Buffer.from(text);
  response.writeHead(status, { 'content-type': type, 'content-length': body.byteLength });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

async function answer(request: IncomingMessage, response: ServerResponse, handler: HttpHandler): Promise<void> {
  response.setHeader('x-content-type-options', 'nosniff');
  response.on('error', () => response.destroy());
  // A body is of no use here: a client that sends one gets its answer and a closed connection, never a buffer.
  if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined) {
    response.setHeader('connection', 'close');
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    response.setHeader('connection', 'close');
    sendText(response, 405, 'text/plain', 'method not allowed\n');
    return;
  }
  try {
    await handler(request, response);
  } catch {
    if (response.headersSent) response.destroy();
    else sendText(response, 500, 'text/plain', 'internal error\n');
  }
}

/**
 * Turns a failure to listen into one that names address and setting.
 *
 * @param at - What was listened on; its setting is the one to change.
 */
export function listenError(error: unknown, at: ListenAt): KmsError {
  const code = systemErrorCode(error) ?? 'unknown';
  const where = `${at.host}:${at.port}`;
  const why =
    code === 'EADDRINUSE'
      ? `port ${at.port} on ${at.host} is taken by another process; stop that one or set ${at.setting} to a free port`
      : code === 'EACCES'
        ? `no permission to listen on ${where}; set ${at.setting} to a port of 1024 or more`
        : code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND'
          ? `${at.host} is not an address of this machine; correct the address beside ${at.setting}`
          : `cannot listen on ${where} (${code}), as ${at.setting} says`;
  return new KmsError('CONFIG_INVALID', why, { address: where, setting: at.setting }, error);
}

function listen(server: Server, at: ListenAt): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const failed = (error: Error): void => reject(listenError(error, at));
  server.once('error', failed);
  server.listen({ host: at.host, port: at.port }, () => {
    server.off('error', failed);
    // Accepting may fail later for want of descriptors; that connection is lost, the server is not.
    server.on('error', () => undefined);
    resolve();
  });
  return promise;
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(cut);
}
