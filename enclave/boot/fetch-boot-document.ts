/**
 * Fetches what the parent hands over at the start: bounded in size before anything is kept, and in time.
 */
import type { Readable } from 'node:stream';
import { type BootDocument, decodeBootDocument, PARENT_PORT, readBootLength } from '../../common/enclave-boot.ts';
import { KmsError } from '../../common/errors.ts';
import type { ParentLink } from './parent-link.ts';

const WITHIN_MS = 10_000;
const ATTEMPTS = 3;
const HEADER_BYTES = 4;

/**
 * Fetches and reads the boot document. A stream that breaks is opened again; a document that is wrong stays wrong.
 *
 * @throws KmsError `REQUEST_INVALID` for a wrong document, `UNAVAILABLE` or `DEADLINE_EXCEEDED` if none comes.
 */
export async function fetchBootDocument(
  { dial }: Pick<ParentLink, 'dial'>,
  timeout: () => AbortSignal = () => AbortSignal.timeout(WITHIN_MS),
): Promise<BootDocument> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchOnce(dial, timeout());
    } catch (error) {
      if (attempt >= ATTEMPTS || (error instanceof KmsError && error.code === 'REQUEST_INVALID')) throw error;
    }
  }
}

async function fetchOnce(dial: ParentLink['dial'], signal: AbortSignal): Promise<BootDocument> {
  const socket = await dial(PARENT_PORT.boot, signal);
  const onAbort = (): void => {
    socket.destroy(new KmsError('DEADLINE_EXCEEDED', 'the parent did not send the boot document in time'));
  };
  signal.addEventListener('abort', onAbort);
  try {
    if (signal.aborted) onAbort();
    return decodeBootDocument(await readDocument(socket));
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

async function readDocument(stream: Readable): Promise<Uint8Array> {
  let held = Buffer.alloc(0);
  let wanted = HEADER_BYTES;
  let body = false;
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array)) continue;
    held = Buffer.concat([held, chunk]);
    if (!body && held.byteLength >= HEADER_BYTES) {
      wanted = readBootLength(held.subarray(0, HEADER_BYTES));
      held = held.subarray(HEADER_BYTES);
      body = true;
    }
    if (body && held.byteLength > wanted) {
      throw new KmsError('REQUEST_INVALID', 'boot document: there are bytes behind it');
    }
    if (body && held.byteLength === wanted) return Uint8Array.from(held);
  }
  throw new KmsError('UNAVAILABLE', 'the parent closed the connection before the end of the boot document');
}
