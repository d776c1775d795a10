/**
 * Waits for a TLS ClientHello on a raw stream, before anything is spent on it: a TLS socket costs a hundred times as
 * much memory as a plain one that says nothing.
 */
import type { Duplex } from 'node:stream';
import { KmsError } from '../../common/errors.ts';

const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
/** Ours has some 1,700 bytes; nobody's has more than this. */
const LONGEST_BYTES = 4096;

/**
 * Resolves once the stream has received a whole ClientHello, and leaves every byte in the stream to be read again.
 *
 * @throws KmsError `REQUEST_INVALID` at the first byte that cannot belong to one, `UNAVAILABLE` when the stream ends
 * before, `DEADLINE_EXCEEDED` after `withinMs`. The stream is the caller's to destroy.
 */
export function awaitClientHello(raw: Duplex, withinMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let seen: Buffer = Buffer.alloc(0);
  const onReadable = (): void => {
    const chunk: unknown = raw.read();
    if (!Buffer.isBuffer(chunk)) return;
    seen = seen.byteLength === 0 ? chunk : Buffer.concat([seen, chunk]);
    const needed = clientHelloBytes(seen);
    if (needed === undefined) {
      reject(new KmsError('REQUEST_INVALID', 'it did not begin with a TLS ClientHello'));
    } else if (seen.byteLength >= needed) {
      // From here on nobody listens until TLS takes the stream; what comes waits in its buffer.
      raw.off('readable', onReadable);
      raw.unshift(seen);
      resolve();
    }
  };
  const onEnd = (): void => reject(new KmsError('UNAVAILABLE', 'it hung up before its TLS ClientHello'));
  const timer = setTimeout(() => {
    reject(new KmsError('DEADLINE_EXCEEDED', 'it sent no TLS ClientHello in time'));
  }, withinMs);
  raw.on('readable', onReadable).on('end', onEnd).on('close', onEnd);
  return promise.finally(() => {
    clearTimeout(timer);
    raw.off('readable', onReadable).off('end', onEnd).off('close', onEnd);
  });
}

/** Bytes until the end of the first record, or undefined if these cannot begin one with a ClientHello. */
function clientHelloBytes(seen: Buffer): number | undefined {
  const [type, major, , , , message] = seen;
  if (type !== undefined && type !== HANDSHAKE_RECORD) return undefined;
  if (major !== undefined && major !== 3) return undefined;
  if (message !== undefined && message !== CLIENT_HELLO) return undefined;
  if (seen.byteLength < RECORD_HEADER_BYTES) return RECORD_HEADER_BYTES + 1;
  const bodyBytes = seen.readUInt16BE(3);
  if (bodyBytes === 0 || bodyBytes > LONGEST_BYTES - RECORD_HEADER_BYTES) return undefined;
  return RECORD_HEADER_BYTES + bodyBytes;
}
