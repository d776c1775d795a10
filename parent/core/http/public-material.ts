/**
 * Public material over HTTP, at the path-style addresses that published clients use for S3. Read-only, no state.
 *
 * Everything served here is public by definition. Objects that do not match what the engine signed are refused, so
 * that no client takes a damaged key for a good one. Spec: kms-service 6.1, 6.3.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isKmsError } from '../../../common/errors.ts';
import type { PublicObject, PublicObjects } from '../objects/public-objects.ts';
import { ATTESTATION_PATH, type AttestationPage } from './attestation.ts';
import { type HttpLimits, type ListenAt, type RunningHttpServer, sendText, startHttpServer } from './http-server.ts';
import { parseObjectAddress } from './object-address.ts';
import { resolveRange } from './ranges.ts';

/** What the server needs. */
export interface PublicMaterialDeps {
  readonly objects: PublicObjects;
  readonly bucket: string;
  readonly prefix: string;
  readonly limits?: HttpLimits;
  /** Answers `/attestation`; absent where nothing attests. */
  readonly attestation?: AttestationPage | undefined;
}

const DEFAULT_LIMITS: HttpLimits = { maxConnections: 256, idleMs: 60_000 };

/** Starts serving public material. */
export function servePublicMaterial(at: ListenAt, deps: PublicMaterialDeps): Promise<RunningHttpServer> {
  return startHttpServer(at, deps.limits ?? DEFAULT_LIMITS, (request, response) => serve(request, response, deps));
}

async function serve(request: IncomingMessage, response: ServerResponse, deps: PublicMaterialDeps): Promise<void> {
  // Any page may read what anyone may read: browser clients fetch keys from here.
  response.setHeader('access-control-allow-origin', '*');
  response.setHeader('access-control-expose-headers', 'ETag, Content-Range, Accept-Ranges');
  const target = request.url ?? '';
  if (deps.attestation && target.split('?', 1)[0] === ATTESTATION_PATH) {
    await deps.attestation(request, response);
    return;
  }
  const address = parseObjectAddress(target, deps.bucket, deps.prefix);
  if (address.kind === 'no-such-bucket') {
    sendFault(response, 404, 'NoSuchBucket', 'The specified bucket does not exist');
    return;
  }
  const object =
    address.kind === 'object' ? await findObject(deps.objects, address.type, address.id, response) : undefined;
  if (object === 'refused') return;
  if (object === undefined) {
    sendFault(response, 404, 'NoSuchKey', 'The specified key does not exist.');
    return;
  }
  await sendObject(request, response, object);
}

/** Looks an object up; a damaged one is answered here. */
async function findObject(
  objects: PublicObjects,
  type: string,
  id: string,
  response: ServerResponse,
): Promise<PublicObject | undefined | 'refused'> {
  try {
    return await objects.find(type, id);
  } catch (error) {
    if (!isKmsError(error, 'STATE_INVALID')) throw error;
    sendFault(response, 500, 'InternalError', 'The stored object does not match its signed digest.');
    return 'refused';
  }
}

async function sendObject(request: IncomingMessage, response: ServerResponse, object: PublicObject): Promise<void> {
  const etag = `"${object.digest}"`;
  response.setHeader('etag', etag);
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('cache-control', 'no-cache');
  const wanted = request.headers['if-match'];
  if (wanted !== undefined && !namesTag(wanted, etag)) {
    sendFault(response, 412, 'PreconditionFailed', 'The object has another digest');
    return;
  }
  if (namesTag(request.headers['if-none-match'], etag)) {
    response.writeHead(304).end();
    return;
  }
  const condition = request.headers['if-range'];
  const header = condition === undefined || condition === etag ? request.headers.range : undefined;
  const range = resolveRange(header, object.sizeBytes);
  if (range.kind === 'unsatisfiable') {
    response.setHeader('content-range', `bytes */${object.sizeBytes}`);
    sendFault(response, 416, 'InvalidRange', 'The requested range is not satisfiable');
    return;
  }
  const { start, end } = range.kind === 'part' ? range : { start: 0, end: object.sizeBytes };
  response.setHeader('content-type', 'application/octet-stream');
  response.setHeader('content-length', end - start);
  if (range.kind === 'part') response.setHeader('content-range', `bytes ${start}-${end - 1}/${object.sizeBytes}`);
  response.writeHead(range.kind === 'part' ? 206 : 200);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  await sendStream(response, await object.read({ offset: start, length: end - start }));
}

/** Sends a stream as fast as the client reads; stops when the client has gone. */
async function sendStream(response: ServerResponse, stream: AsyncIterable<Uint8Array>): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  for await (const chunk of stream) {
    if (gone.signal.aborted) return;
    if (!response.write(chunk)) await once(response, 'drain', { signal: gone.signal }).catch(() => undefined);
  }
  response.end();
}

function namesTag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((tag) => {
    const plain = tag.trim().replace(/^W\//, '');
    return plain === '*' || plain === etag;
  });
}

/** The shape of S3's errors. Nothing of the request is repeated in it. */
function sendFault(response: ServerResponse, status: number, code: string, message: string): void {
  const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>\n`;
  sendText(response, status, 'application/xml', xml);
}
