/**
 * A custodian's two key pairs, both out of its seed phrase. SECRET: entropy, seeds, private keys.
 *
 * Each pair has a generator of its own: AES-128 in counter mode, keyed by a hash of the entropy. Spec: kms-service 7.4.
 */
import { createCipheriv, type KeyObject } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { KmsError } from '../common/errors.ts';
import { encapsulationKeyOf, KEM_SEED_BYTES, kemKeyFromSeed } from '../wire/custodian/kem-keys.ts';
import type { Signer } from '../wire/custodian/signcryption.ts';
import { domainHash, HASH_TAG } from '../wire/hash.ts';
import { addressOfCompressedKey } from '../wire/signatures.ts';
import { ENTROPY_BYTES } from './words.ts';

/** Keys of one custodian. `dispose` wipes what can be wiped. */
export interface CustodianKeys extends Disposable {
  readonly signer: Signer;
  /** Ethereum address of the signing key, 20 bytes. */
  readonly address: Uint8Array;
  /** SECRET. */
  readonly privateKey: KeyObject;
  /** ML-KEM-512 encapsulation key, 800 bytes. */
  readonly ek: Uint8Array;
}

const SEED_BYTES = 16;
const BLOCK_BYTES = 16;
const SCALAR_BYTES = 32;

/** Derives a custodian's keys. Only the first 16 bytes of the entropy count, as published. The caller wipes it. */
export function deriveCustodianKeys(entropy: Uint8Array): CustodianKeys {
  if (entropy.byteLength < ENTROPY_BYTES) throw new KmsError('KEY_INVALID', 'a seed phrase has 12 words or more');
  const used = entropy.subarray(0, ENTROPY_BYTES);
  const privateKey = withStream(HASH_TAG.seedEncryption, used, (next) => {
    const seed = next(KEM_SEED_BYTES);
    try {
      return kemKeyFromSeed(seed);
    } finally {
      seed.fill(0);
    }
  });
  const secret = withStream(HASH_TAG.seedSigning, used, firstScalar);
  const publicKey = secp256k1.getPublicKey(secret, true);
  return {
    privateKey,
    ek: encapsulationKeyOf(privateKey),
    address: addressOfCompressedKey(publicKey),
    signer: {
      publicKey,
      // Deterministic (RFC 6979), low s, r ‖ s.
      signSha256: (data) => secp256k1.sign(sha256(data), secret, { prehash: false }),
    },
    [Symbol.dispose]: () => void secret.fill(0),
  };
}

/** Samples until one is a scalar of the curve; practically the first one is. */
function firstScalar(next: (sizeBytes: number) => Uint8Array): Uint8Array {
  for (;;) {
    const candidate = next(SCALAR_BYTES);
    if (secp256k1.utils.isValidSecretKey(candidate)) return candidate;
    candidate.fill(0);
  }
}

function withStream<T>(
  tag: typeof HASH_TAG.seedEncryption | typeof HASH_TAG.seedSigning,
  entropy: Uint8Array,
  use: (next: (sizeBytes: number) => Uint8Array) => T,
): T {
  const hash = domainHash(tag, entropy);
  try {
    return use(aesCounterStream(hash.subarray(0, SEED_BYTES)));
  } finally {
    hash.fill(0);
  }
}

/**
 * The published generator for requests of whole blocks: block i is AES-128 of i, 16 bytes, low byte first.
 *
 * @param seed - 16 bytes, read when bytes are asked for.
 */
export function aesCounterStream(seed: Uint8Array): (sizeBytes: number) => Uint8Array<ArrayBuffer> {
  let counter = 0;
  return (sizeBytes) => {
    if (sizeBytes % BLOCK_BYTES !== 0) throw new KmsError('INTERNAL', 'the generator gives whole blocks only');
    const blocks = Buffer.alloc(sizeBytes);
    for (let at = 0; at < sizeBytes; at += BLOCK_BYTES) blocks.writeUInt32LE(counter++, at);
    const cipher = createCipheriv('aes-128-ecb', seed, null).setAutoPadding(false);
    const stream = cipher.update(blocks);
    const owned = Uint8Array.from(stream);
    stream.fill(0);
    return owned;
  };
}
