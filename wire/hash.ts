/**
 * Domain-separated hashing: SHAKE256(8-byte tag ‖ data), 32 bytes out.
 *
 * Every hash of the published formats has one of the tags below, so that no two uses share a preimage.
 */
import { createHash, type Hash } from 'node:crypto';

/** The tags in use, 8 ASCII characters each. */
export const HASH_TAG = {
  requestId: 'REQST_ID',
  list: 'HASH_LST',
  publicDecryption: 'PUBL_DEC',
  userDecryption: 'USER_DEC',
  signcryption: 'SIGNCRYP',
  key: 'PDAT_KEY',
  crs: 'PDAT_CRS',
  schemeKey: 'SIGKDERV',
  schemeKeyDigest: 'SIGKDGST',
  backupToCustodian: 'BKUPCUST',
  backupCommitment: 'BKUPCOMM',
  backupRecovery: 'BKUPRECO',
  seedEncryption: 'MNEM_ENC',
  seedSigning: 'MNEM_SIG',
} as const;
export type HashTag = (typeof HASH_TAG)[keyof typeof HASH_TAG];

/** Length of every digest, in bytes. */
export const DIGEST_BYTES = 32;

/** Hashes data that comes in pieces; `digest` may be called once. */
export class DomainHasher {
  readonly #hash: Hash;

  constructor(tag: HashTag) {
    this.#hash = createHash('shake256', { outputLength: DIGEST_BYTES }).update(tag, 'latin1');
  }

  update(data: Uint8Array): this {
    this.#hash.update(data);
    return this;
  }

  digest(): Uint8Array {
    return this.#hash.digest();
  }
}

/** Returns SHAKE256(tag ‖ parts…), 32 bytes. */
export function domainHash(tag: HashTag, ...parts: readonly Uint8Array[]): Uint8Array {
  const hasher = new DomainHasher(tag);
  for (const part of parts) hasher.update(part);
  return hasher.digest();
}

/** Returns SHAKE256('HASH_LST' ‖ tag ‖ u64le(count) ‖ items…), 32 bytes. The items must have fixed lengths. */
export function listHash(tag: HashTag, items: readonly Uint8Array[]): Uint8Array {
  return domainHash(HASH_TAG.list, Buffer.from(tag, 'latin1'), u64le(items.length), ...items);
}

/** Returns `value` as 8 bytes, low byte first. */
export function u64le(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}
