/**
 * The messages of the handshake inside TLS: PROOF and VERDICT, eight bytes of head and a body. The reader takes
 * exactly their bytes and not one more, so that what follows belongs to the application. Hostile input comes in here.
 *
 * head = type u8 | protocol version u8 | zero u16 | length of the body u32, little endian.
 */
import type { TLSSocket } from 'node:tls';
import { KmsError } from '../../common/errors.ts';
import { decodeStrict, encodeCanonical } from '../cbor.ts';
import { peerLeft, refuse } from './reasons.ts';

/** Version of proofs, verdicts and their order. */
export const PROTOCOL_VERSION = 1;

/** Kinds of messages. */
export const MESSAGE = { proof: 1, verdict: 2 } as const;

const HEAD_BYTES = 8;
const MAX_VERDICT_BYTES = 64;
const MAX_REASONS = 16;

/** A message as it came. */
export interface MeshMessage {
  readonly type: 'proof' | 'verdict';
  readonly body: Uint8Array;
}

/**
 * Writes one message and waits until the kernel has taken it: a socket must not be handed on with a write under way.
 *
 * @throws What the socket fails with; the signal's reason when it fires, since a peer need not read.
 */
export function writeMessage(
  socket: TLSSocket,
  type: MeshMessage['type'],
  body: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  const message = Buffer.allocUnsafeSlow(HEAD_BYTES + body.length);
  message.writeUInt8(MESSAGE[type], 0);
  message.writeUInt8(PROTOCOL_VERSION, 1);
  message.writeUInt16LE(0, 2);
  message.writeUInt32LE(body.length, 4);
  message.set(body, HEAD_BYTES);
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) return onAbort();
    socket.write(message, (error) => {
      signal?.removeEventListener('abort', onAbort);
      if (error) reject(error);
      else resolve();
    });
  });
}

/**
 * Reads one message.
 *
 * @throws KmsError `ATTESTATION_INVALID` for another version, an unknown type or more than `maxBytes`;
 * the signal's reason when it fires.
 */
export async function readMessage(socket: TLSSocket, maxBytes: number, signal: AbortSignal): Promise<MeshMessage> {
  const head = await readExactly(socket, HEAD_BYTES, signal);
  const version = head.readUInt8(1);
  if (version !== PROTOCOL_VERSION) {
    throw refuse('version', `it speaks version ${version} of the protocol, this side ${PROTOCOL_VERSION}`);
  }
  const type = head.readUInt8(0) === MESSAGE.proof ? 'proof' : 'verdict';
  if (MESSAGE[type] !== head.readUInt8(0) || head.readUInt16LE(2) !== 0) throw refuse('malformed', 'unknown message');
  const sizeBytes = head.readUInt32LE(4);
  const most = type === 'proof' ? maxBytes : MAX_VERDICT_BYTES;
  if (sizeBytes > most) throw refuse('malformed', `a ${type} of ${sizeBytes} bytes, at most ${most}`);
  return { type, body: await readExactly(socket, sizeBytes, signal) };
}

/** Returns the body of a VERDICT: no numbers accept, others are those of `reasons.ts`. */
export const encodeVerdict = (codes: readonly number[]): Uint8Array => encodeCanonical(codes.slice(0, MAX_REASONS));

/**
 * Reads the body of a VERDICT.
 *
 * @throws KmsError `ATTESTATION_INVALID` for anything but a short array of numbers 1 … 255.
 */
export function decodeVerdict(body: Uint8Array): number[] {
  const codes = decodeStrict(body, { maxBytes: MAX_VERDICT_BYTES, maxDepth: 1, canonical: true });
  if (!Array.isArray(codes) || codes.length > MAX_REASONS || !codes.every(isCode)) {
    throw new KmsError('REQUEST_INVALID', 'a verdict needs an array of numbers');
  }
  return codes;
}

const isCode = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 255;

/** Takes exactly `sizeBytes` off a paused socket; the rest stays in its buffer. */
function readExactly(socket: TLSSocket, sizeBytes: number, signal: AbortSignal): Promise<Buffer> {
  if (sizeBytes === 0) return Promise.resolve(Buffer.alloc(0));
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let missing = sizeBytes;
    const finish = (act: () => void): void => {
      socket.off('readable', take).off('error', fail).off('end', onEnd).off('close', onEnd);
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const fail = (error: unknown): void => finish(() => reject(error));
    const onEnd = (): void => fail(peerLeft());
    const onAbort = (): void => fail(signal.reason);
    const take = (): void => {
      // Piece by piece: read(n) with more than the stream's buffer holds would wait for a high-water mark.
      while (missing > 0) {
        const part: Buffer | null = socket.read(Math.min(missing, Math.max(socket.readableLength, 1)));
        if (part === null) return;
        parts.push(part);
        missing -= part.length;
      }
      finish(() => resolve(Buffer.concat(parts, sizeBytes)));
    };
    socket.on('readable', take).once('error', fail).once('end', onEnd).once('close', onEnd);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    else if (socket.destroyed) onEnd();
    else take();
  });
}
