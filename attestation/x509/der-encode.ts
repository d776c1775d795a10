/** Writes DER (X.690): heads of definite length and object identifiers. Runs in a browser too. */
import { concatBytes } from '../../common/bytes.ts';

/** Identifier octets of what certificates are made of. */
export const DER_TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Returns one item: identifier octet, shortest length, content of less than 16 MiB. */
export function encodeDer(tag: number, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const { length } = content;
  const size = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x1_0000 ? 2 : 3;
  const digits = [length >> 16, length >> 8, length].slice(3 - size).map((digit) => digit & 0xff);
  return concatBytes(Uint8Array.of(tag, size === 0 ? length : 0x80 + size, ...digits), content);
}

/** Returns the OBJECT IDENTIFIER of a dotted form, each part below 2^31. */
export function encodeOid(dotted: string): Uint8Array<ArrayBuffer> {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const content = [40 * first + second, ...rest].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let high = arc >>> 7; high > 0; high >>>= 7) digits.unshift((high & 0x7f) | 0x80);
    return digits;
  });
  return encodeDer(DER_TAG.objectIdentifier, Uint8Array.from(content));
}
