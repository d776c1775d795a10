/**
 * Hashes and signature checks in native code: Keccak-256, SHA-256, SHAKE256, BLAKE3, secp256k1.
 *
 * Public face: every input and output here is public. Spec: kms-service 3.4, 4.1 to 4.3, 5.1.
 */
import { attempt, attemptAsync, native } from './load.ts';

interface RawDigest {
  update(bytes: Uint8Array): void;
  updateAsync(bytes: Uint8Array): Promise<void>;
  digest(): Uint8Array;
}

interface CryptoBinding {
  readonly NativeDigest: new () => RawDigest;
  keccak256(bytes: Uint8Array): Uint8Array;
  sha256(bytes: Uint8Array): Uint8Array;
  blake3(bytes: Uint8Array): Uint8Array;
  recoverSigner(digest: Uint8Array, signature: Uint8Array): Uint8Array;
  verifySignature(publicKey: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean;
  addressOf(publicKey: Uint8Array): Uint8Array;
  checkEncKey(encKey: Uint8Array): void;
}

const lib = native<CryptoBinding>([
  'NativeDigest',
  'keccak256',
  'sha256',
  'blake3',
  'recoverSigner',
  'verifySignature',
  'addressOf',
  'checkEncKey',
]);

/** Keccak-256 with Ethereum's padding. */
export function keccak256(bytes: Uint8Array): Uint8Array {
  return attempt(() => lib.keccak256(bytes));
}

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return attempt(() => lib.sha256(bytes));
}

/** BLAKE3, 32 bytes: three times as fast as SHA-256 on bodies of 100 KB. For digests of ours alone. */
export function blake3(bytes: Uint8Array): Uint8Array {
  return attempt(() => lib.blake3(bytes));
}

/**
 * Returns the 20-byte address that signed a digest. Takes low-s and v 27 or 28 only.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything else.
 */
export function recoverSigner(digest: Uint8Array, signature: Uint8Array): Uint8Array {
  return attempt(() => lib.recoverSigner(digest, signature));
}

/**
 * Returns whether `r ‖ s` is a signature over a digest by a public key (33 or 65 bytes). High-s is not valid.
 *
 * @throws {@link KmsError} `KEY_INVALID` if the key is not a point of the curve.
 */
export function verifySignature(publicKey: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean {
  return attempt(() => lib.verifySignature(publicKey, digest, signature));
}

/** Returns the Ethereum address of a public key (33 or 65 bytes). */
export function addressOf(publicKey: Uint8Array): Uint8Array {
  return attempt(() => lib.addressOf(publicKey));
}

/**
 * Checks a request's `enc_key`: 869 bytes, the exact prefix, ML-KEM-512, canonical coefficients.
 *
 * @throws {@link KmsError} `KEY_INVALID` saying which.
 */
export function checkEncKey(encKey: Uint8Array): void {
  attempt(() => lib.checkEncKey(encKey));
}

/** Above this size hashing goes to a pool thread: about 0.15 ms of work, more than the hop costs. */
const OFF_LOOP_BYTES = 65_536;

/**
 * Incremental SHAKE256 with a 32-byte result; absorb an 8-byte tag first for a domain hash.
 *
 * @example
 * const digest = new DomainDigest('PDAT_KEY');
 * for await (const chunk of stream) await digest.absorb(chunk);
 * digest.finish();
 */
export class DomainDigest {
  readonly #state: RawDigest;

  constructor(tag?: string) {
    this.#state = new lib.NativeDigest();
    if (tag !== undefined) this.update(new TextEncoder().encode(tag));
  }

  /** Absorbs bytes at once, on this thread. */
  update(bytes: Uint8Array): this {
    attempt(() => this.#state.update(bytes));
    return this;
  }

  /** Absorbs bytes, large ones on a pool thread: leave them alone, and await this before the next call. */
  async absorb(bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength < OFF_LOOP_BYTES) this.update(bytes);
    else await attemptAsync(() => this.#state.updateAsync(bytes));
  }

  /** Returns the 32 bytes; the digest cannot be used again. */
  finish(): Uint8Array {
    return attempt(() => this.#state.digest());
  }
}
