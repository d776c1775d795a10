/**
 * Writes answers, whole or as a fault has them.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { S3Error } from './errors.ts';
import type { Fault } from './faults.ts';
import type { S3Response } from './request.ts';
import { writeXml } from './xml.ts';

/** The answer to a request that failed. What is no {@link S3Error} is a bug of the server and says nothing else. */
export function errorResponse(error: unknown, about: { requestId: string; resource: string }): S3Response {
  const { code, message, status, details } = error instanceof S3Error ? error : new S3Error('InternalError');
  if (status === 304) return { status };
  const body = writeXml(
    [
      'Error',
      [
        ['Code', code],
        ['Message', message],
        ...Object.entries(details).map(([name, value]) => [name, value] as const),
        ['Resource', about.resource],
        ['RequestId', about.requestId],
      ],
    ],
    { namespace: false },
  );
  const region = details.Region === undefined ? {} : { 'x-amz-bucket-region': details.Region };
  return { status, headers: { ...region }, body };
}

/** Sends an answer and takes what is left of the request's body. */
export async function sendResponse(
  message: IncomingMessage,
  response: ServerResponse,
  answer: S3Response,
  context: { requestId: string; nowMs: number; fault: Fault | undefined },
): Promise<void> {
  const { fault } = context;
  if (fault?.kind === 'hang') return;
  if (fault?.kind === 'reset' || fault?.kind === 'lost-answer') {
    message.socket.destroy();
    return;
  }
  const body = Buffer.isBuffer(answer.body) ? answer.body : Buffer.from(answer.body ?? '');
  const type = typeof answer.body === 'string' ? { 'content-type': 'application/xml' } : {};
  response.writeHead(answer.status, {
    server: 'arca-s3-emulator',
    date: new Date(context.nowMs).toUTCString(),
    'x-amz-request-id': context.requestId,
    ...type,
    ...(answer.status === 204 || answer.status === 304 ? {} : { 'content-length': body.byteLength }),
    ...answer.headers,
    // An answer before the whole body was read ends the connection, or the rest would be taken for a request.
    ...(message.complete ? {} : { connection: 'close' }),
  });
  if (message.method === 'HEAD') response.end();
  else if (fault?.kind === 'cut' || fault?.kind === 'stall') {
    await new Promise<void>((resolve) => response.write(body.subarray(0, fault.afterBytes), () => resolve()));
    if (fault.kind === 'cut') message.socket.destroy();
  } else response.end(fault?.kind === 'corrupt' ? flipped(body, fault.offset) : body);
  message.resume();
}

function flipped(body: Buffer, offset: number): Buffer {
  const copy = Buffer.from(body);
  const byte = copy[offset];
  if (byte !== undefined) copy[offset] = byte ^ 1;
  return copy;
}
