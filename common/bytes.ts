/**
 * Bytes as the rest of the code wants them: plain `Uint8Array`, hex in lower case. Not for secrets that must
 * be compared in constant time: `equalBytes` stops at the first difference.
 */
import { KmsError } from './errors.ts';

const HEX = /^(?:[0-9a-fA-F]{2})*$/;

/**
 * Returns the bytes as lower-case hexadecimal digits.
 *
 * @example
 * toHex(Uint8Array.of(0, 255)); // '00ff'
 */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/**
 * Reads hexadecimal digits of either case, without a `0x` in front, into an ArrayBuffer of their own.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for an odd length or any other character. The text is not repeated.
 */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (!HEX.test(text)) {
    throw new KmsError('REQUEST_INVALID', 'needs an even number of hexadecimal digits', { length: text.length });
  }
  const bytes = new Uint8Array(text.length / 2);
  Buffer.from(bytes.buffer).write(text, 'hex');
  return bytes;
}

/** Returns the parts one after the other, copied into an ArrayBuffer of their own. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let sizeBytes = 0;
  for (const part of parts) sizeBytes += part.byteLength;
  const whole = new Uint8Array(sizeBytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** Returns whether both hold the same bytes. Not constant time. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0;
}
