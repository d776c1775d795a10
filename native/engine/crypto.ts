/**
 * Signatures and hashes in native code: the node's signing key, Keccak-256, SHA-256, SHAKE256.
 *
 * A `NodeKey` holds the one secret here, on the native side; only `secretBytes` brings it over, for the vault.
 * Everything else takes and gives public bytes. Spec: kms-service 3.4, 4 and 5.
 */
import { KmsError } from '../../common/errors.ts';
import { call, native } from './load.ts';

/** Signature schemes whose keys are derived from the node's key: Ed25519, ML-DSA-44, ML-DSA-65, ML-DSA-87. */
export type DerivedScheme = 1 | 2 | 3 | 4;

/** The class that the native library exports; arguments were checked before they reach it. */
export interface NativeNodeKey {
  publicKey(): Uint8Array;
  publicKeyUncompressed(): Uint8Array;
  address(): Uint8Array;
  secretBytes(): Uint8Array;
  signDigest(digest: Uint8Array): Uint8Array;
  signSha256(data: Uint8Array): Uint8Array;
  signDer(digest: Uint8Array): Uint8Array;
  derivedPublicKey(scheme: number): Uint8Array;
  signScheme(scheme: number, data: Uint8Array): Uint8Array;
  signcryptPublic(
    plaintext: Uint8Array,
    fheType: number,
    link: Uint8Array,
    clientAddress: Uint8Array,
    encKey: Uint8Array,
  ): Uint8Array;
  dispose(): void;
}

interface NativeDigest {
  update(bytes: Uint8Array): void;
  updateAsync(bytes: Uint8Array): Promise<void>;
  digest(): Uint8Array;
}

/** This file's part of the native library. */
export interface CryptoBinding {
  readonly NativeNodeKey: { generate(): NativeNodeKey; fromBytes(bytes: Uint8Array): NativeNodeKey };
  readonly NativeDigest: new () => NativeDigest;
  keccak256(bytes: Uint8Array): Uint8Array;
  sha256(bytes: Uint8Array): Uint8Array;
  recoverSigner(digest: Uint8Array, signature: Uint8Array): Uint8Array;
  verifySignature(publicKey: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean;
  addressOf(publicKey: Uint8Array): Uint8Array;
  checkEncKey(encKey: Uint8Array): void;
}

const handles = new WeakMap<NodeKey, NativeNodeKey>();

/**
 * The node's secp256k1 signing key. Has no printable content; `dispose` erases the scalar.
 *
 * All signatures are deterministic (RFC 6979, FIPS 204 deterministic) and low-s.
 */
export class NodeKey {
  /** 33 bytes, compressed. */
  readonly publicKey: Uint8Array;
  /** 65 bytes, uncompressed with its prefix. */
  readonly publicKeyUncompressed: Uint8Array;
  /** Ethereum address, 20 bytes. */
  readonly address: Uint8Array;

  private constructor(handle: NativeNodeKey) {
    handles.set(this, handle);
    this.publicKey = handle.publicKey();
    this.publicKeyUncompressed = handle.publicKeyUncompressed();
    this.address = handle.address();
  }

  /** Makes a fresh key from the operating system's generator. */
  static generate(): NodeKey {
    return new NodeKey(call(() => native().NativeNodeKey.generate()));
  }

  /**
   * Reads a 32-byte big-endian scalar. The caller wipes `bytes`.
   *
   * @throws {@link KmsError} `KEY_INVALID` unless it is between 1 and n - 1.
   */
  static fromBytes(bytes: Uint8Array): NodeKey {
    return new NodeKey(call(() => native().NativeNodeKey.fromBytes(bytes)));
  }

  /** Copies the scalar out, for the vault; the array has a buffer of its own, which the caller wipes. */
  secretBytes(): Uint8Array {
    return call(() => nodeKeyHandle(this).secretBytes());
  }

  /** Signs a 32-byte digest as Ethereum does: `r ‖ s ‖ v`, v 27 or 28. */
  signDigest(digest: Uint8Array): Uint8Array {
    return call(() => nodeKeyHandle(this).signDigest(digest));
  }

  /** Signs SHA-256(`data`): `r ‖ s`, 64 bytes. */
  signSha256(data: Uint8Array): Uint8Array {
    return call(() => nodeKeyHandle(this).signSha256(data));
  }

  /** Signs a 32-byte digest; ASN.1 DER, for certificates. */
  signDer(digest: Uint8Array): Uint8Array {
    return call(() => nodeKeyHandle(this).signDer(digest));
  }

  /** Derives the public key of another scheme (spec 4.7): 32, 1312, 1952 or 2592 bytes. */
  derivedPublicKey(scheme: number): Uint8Array {
    return call(() => nodeKeyHandle(this).derivedPublicKey(scheme));
  }

  /** Signs `data` itself with a derived key: 64, 2420, 3309 or 4627 bytes. */
  signScheme(scheme: number, data: Uint8Array): Uint8Array {
    return call(() => nodeKeyHandle(this).signScheme(scheme, data));
  }

  /** Erases the scalar once calls that still use it end. Further use throws `KEY_INVALID`. */
  dispose(): void {
    handles.get(this)?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Returns the native object behind a key, for this folder's other native calls. */
export function nodeKeyHandle(key: NodeKey): NativeNodeKey {
  const handle = handles.get(key);
  if (!handle) throw new KmsError('KEY_INVALID', 'not a signing key of this library');
  return handle;
}

/** Keccak-256 with Ethereum's padding. */
export function keccak256(bytes: Uint8Array): Uint8Array {
  return call(() => native().keccak256(bytes));
}

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return call(() => native().sha256(bytes));
}

/**
 * Returns the 20-byte address that signed a digest. Takes low-s and v 27 or 28 only.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything else.
 */
export function recoverSigner(digest: Uint8Array, signature: Uint8Array): Uint8Array {
  return call(() => native().recoverSigner(digest, signature));
}

/**
 * Returns whether `r ‖ s` is a signature over a digest by a public key (33 or 65 bytes). High-s is not valid.
 *
 * @throws {@link KmsError} `KEY_INVALID` if the key is not a point of the curve.
 */
export function verifySignature(publicKey: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean {
  return call(() => native().verifySignature(publicKey, digest, signature));
}

/** Returns the Ethereum address of a public key (33 or 65 bytes). */
export function addressOf(publicKey: Uint8Array): Uint8Array {
  return call(() => native().addressOf(publicKey));
}

/**
 * Checks a request's `enc_key`: 869 bytes, the exact prefix, ML-KEM-512, canonical coefficients.
 *
 * @throws {@link KmsError} `KEY_INVALID` saying which.
 */
export function checkEncKey(encKey: Uint8Array): void {
  call(() => native().checkEncKey(encKey));
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
  readonly #state: NativeDigest;

  constructor(tag?: string) {
    this.#state = call(() => new (native().NativeDigest)());
    if (tag !== undefined) this.update(new TextEncoder().encode(tag));
  }

  /** Absorbs bytes at once, on this thread. */
  update(bytes: Uint8Array): this {
    call(() => this.#state.update(bytes));
    return this;
  }

  /** Absorbs bytes, large ones on a pool thread: leave them alone, and await this before the next call. */
  async absorb(bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength < OFF_LOOP_BYTES) this.update(bytes);
    else await this.#state.updateAsync(bytes);
  }

  /** Returns the 32 bytes; the digest cannot be used again. */
  finish(): Uint8Array {
    return call(() => this.#state.digest());
  }
}
