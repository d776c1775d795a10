/** The hash of the protocols: SHAKE256 behind a domain separator of eight characters. Spec: threshold protocols, 2.9. */
import { createHash } from 'node:crypto';

/** Where a hash is used. */
export type HashDomain = 'BRACHABC' | 'COMMTMNT' | 'AGREERND' | 'SESSN_ID';

/** Returns 32 bytes of SHAKE256 over the domain and the parts, in an ArrayBuffer of their own. */
export function protocolHash(domain: HashDomain, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const hash = createHash('shake256', { outputLength: 32 }).update(domain, 'ascii');
  for (const part of parts) hash.update(part);
  const digest = hash.digest();
  const own = Uint8Array.from(digest);
  digest.fill(0);
  return own;
}

/** Returns a number as eight little-endian bytes. */
export function le64(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}
