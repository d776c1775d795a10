/**
 * One port for the public material of all parties, as the published local stacks have it: `/kms/PUB-p<i>/…` goes to the
 * Core of party i, which alone knows what is there. Reads only, loopback only; nothing is kept.
 *
 * What comes in is untrusted: an address is passed on only if it begins as one of a party's, a body never is.
 */
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { failure } from '../framework/failure.ts';

/** A relay that runs. */
export interface PublicRelay {
  readonly port: number;
  close(): Promise<void>;
}

/** Settings of {@link startPublicRelay}. */
export interface PublicRelayOptions {
  readonly port: number;
  /** Ports of the parties' Cores by number. */
  readonly targets: ReadonlyMap<number, number>;
}

const HOST = '127.0.0.1';
const IDLE_MS = 60_000;
const MAX_CONNECTIONS = 512;
const MAX_PER_PARTY = 64;
const MATERIAL = /^\/kms\/PUB-p([1-9]\d{0,2})(?:\/|$)/;
/** What of a request a Core is told. */
const REQUEST_HEADERS = ['accept', 'range', 'if-range', 'if-none-match', 'if-match', 'if-modified-since'] as const;
/** What concerns one connection and not the answer. */
const HOP_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'trailer',
]);

/**
 * Starts the relay.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` if the port is taken.
 */
export async function startPublicRelay({ port, targets }: PublicRelayOptions): Promise<PublicRelay> {
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_PER_PARTY });
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 15_000, keepAliveTimeout: 5_000 });
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = IDLE_MS;
  server.maxHeadersCount = 100;
  server.on('request', (incoming, response) => relay(incoming, response, { targets, agent }));
  await listen(server, port);
  const address = server.address() as AddressInfo; // a TCP server that listens has one
  return {
    port: address.port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}

function relay(
  incoming: IncomingMessage,
  response: ServerResponse,
  { targets, agent }: { readonly targets: ReadonlyMap<number, number>; readonly agent: Agent },
): void {
  response.on('error', () => response.destroy());
  if (incoming.headers['content-length'] !== undefined || incoming.headers['transfer-encoding'] !== undefined) {
    response.setHeader('connection', 'close');
  }
  if (incoming.method !== 'GET' && incoming.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    response.setHeader('connection', 'close');
    sendText(response, 405, 'method not allowed');
    return;
  }
  const path = incoming.url ?? '/';
  const party = partyOf(path);
  const port = party === undefined ? undefined : targets.get(party);
  if (port === undefined) {
    refuse(path, response, [...targets.keys()]);
    return;
  }
  const headers = Object.fromEntries(
    REQUEST_HEADERS.flatMap((name) => {
      const value = incoming.headers[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const outgoing = request({ host: HOST, port, path: pathFor(path), method: incoming.method, headers, agent });
  outgoing.setTimeout(IDLE_MS, () => outgoing.destroy());
  outgoing.on('response', (answer) => {
    const passed = Object.entries(answer.headers).filter(([name]) => !HOP_HEADERS.has(name));
    for (const [name, value] of passed) if (value !== undefined) response.setHeader(name, value);
    response.writeHead(answer.statusCode ?? 502);
    answer.on('error', () => response.destroy());
    answer.pipe(response);
  });
  outgoing.on('error', () => {
    if (response.headersSent) response.destroy();
    else sendText(response, 503, `party ${party} does not answer`);
  });
  response.on('close', () => outgoing.destroy());
  outgoing.end();
}

/** Says what there is; to a tool that asks for an attestation in the form of a Core's own refusals. */
function refuse(path: string, response: ServerResponse, parties: readonly number[]): void {
  const [first = 1, last = first] = [parties[0], parties.at(-1)];
  if (/^\/attestation(?:\?|$)/.test(path)) {
    const message = `name a party of ${first} to ${last}: /attestation?party=${first}&nonce=HEX`;
    sendText(response, 400, JSON.stringify({ error: { code: 'REQUEST_INVALID', message } }), 'application/json');
    return;
  }
  sendText(response, 404, `not found: the public material stands below /kms/PUB-p${first} to /kms/PUB-p${last}`);
}

/** Which party an address is of. */
function partyOf(path: string): number | undefined {
  const material = MATERIAL.exec(path)?.[1];
  if (material !== undefined) return Number(material);
  if (!path.startsWith('/attestation?') || !URL.canParse(path, 'http://relay')) return undefined;
  const party = new URL(path, 'http://relay').searchParams.get('party') ?? '';
  return /^[1-9]\d{0,2}$/.test(party) ? Number(party) : undefined;
}

/** The Core knows itself: it is not told its number. */
function pathFor(path: string): string {
  if (!path.startsWith('/attestation?')) return path;
  const { searchParams } = new URL(path, 'http://relay');
  searchParams.delete('party');
  return `/attestation?${searchParams}`;
}

function sendText(response: ServerResponse, status: number, text: string, type = 'text/plain'): void {
  const body = Buffer.from(`${text}\n`);
  response.writeHead(status, {
    'content-type': type,
    'content-length': body.byteLength,
    'x-content-type-options': 'nosniff',
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

function listen(server: Server, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const failed = (error: Error): void => {
    const what = `port ${port} of ${HOST} (public material) cannot be listened on`;
    reject(
      failure('PRECONDITION_FAILED', what, 'choose another with --public-port PORT (0 = any free one)', {}, error),
    );
  };
  server.once('error', failed);
  server.listen({ host: HOST, port }, () => {
    server.off('error', failed);
    // Accepting may fail later for want of descriptors; that connection is lost, the relay is not.
    server.on('error', () => undefined);
    resolve();
  });
  return promise;
}
