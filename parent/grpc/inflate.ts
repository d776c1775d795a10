/**
 * Decompression of requests, bounded twice: in the size of what comes out, and in how many run at once.
 */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { systemErrorCode } from '../../common/errors.ts';
import { GrpcError, STATUS } from './status.ts';

const gunzipAsync = promisify(gunzip);

/** Each may reach the full message size before it is found too large, so few at a time. */
const AT_ONCE = 4;

/** Encodings of requests that a server takes, as `grpc-accept-encoding` names them. */
export const ACCEPTED_ENCODINGS = 'identity,gzip';

/** Decompresses messages; waits its turn. */
export type Inflate = (bytes: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>;

/**
 * Makes a decompressor of gzip messages.
 *
 * @param maxBytes - Largest message that may come out; RESOURCE_EXHAUSTED beyond.
 */
export function createInflate(maxBytes: number): Inflate {
  const waiting: (() => void)[] = [];
  let running = 0;

  return async (bytes, signal) => {
    if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      signal.throwIfAborted();
      return await gunzipAsync(bytes, { maxOutputLength: maxBytes });
    } catch (error) {
      if (systemErrorCode(error) === 'ERR_BUFFER_TOO_LARGE') {
        throw new GrpcError(STATUS.RESOURCE_EXHAUSTED, `a message has at most ${maxBytes} bytes`);
      }
      if (signal.aborted) throw new GrpcError(STATUS.CANCELLED, 'the call was cancelled');
      throw new GrpcError(STATUS.INTERNAL, 'the message is not valid gzip');
    } finally {
      // The turn passes on without `running` going down in between, so nobody else slips in.
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}
