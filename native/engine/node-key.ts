/**
 * The node's signing key, in native memory.
 *
 * Secret face. The scalar stays on the native side behind {@link NodeKey}; only `secretBytes` brings it over, for the
 * vault. Spec: kms-service 4.1 to 4.3, 4.7.
 */
import { inspect } from 'node:util';
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { attempt, attemptAsync, native } from './load.ts';

/** The native handle of a {@link NodeKey}; for this folder only. */
export interface RawNodeKey {
  publicKey(): Uint8Array;
  publicKeyUncompressed(): Uint8Array;
  address(): Uint8Array;
  secretBytes(): Uint8Array;
  signDigest(digest: Uint8Array): Uint8Array;
  signSha256(data: Uint8Array): Uint8Array;
  signDer(digest: Uint8Array): Uint8Array;
  derivedPublicKey(scheme: number): Uint8Array;
  signScheme(scheme: number, data: Uint8Array): Uint8Array;
  purposePublicKey(purpose: string): Uint8Array;
  signPurpose(purpose: string, data: Uint8Array): Uint8Array;
  dispose(): void;
}

/** What Arca's own signatures are for; each has a key of its own. */
export type KeyPurpose = 'mesh' | 'manifest' | 'object' | 'record';

/** What is signed of an answer: a digest, as Ethereum does, and SHA-256 of tagged bytes. All of it is public. */
export interface AnswerToSign {
  /** 32 bytes. */
  readonly digest: Uint8Array;
  readonly tagged: Uint8Array;
}

/** Both signatures of an answer. */
export interface SignedAnswer {
  /** As {@link NodeKey.signDigest} gives it. */
  readonly external: Uint8Array;
  /** As {@link NodeKey.signSha256} gives it. */
  readonly internal: Uint8Array;
}

const DIGEST_BYTES = 32;
const EXTERNAL_BYTES = 65;
const INTERNAL_BYTES = 64;

interface NodeKeyBinding {
  readonly NativeNodeKey: { generate(): RawNodeKey; fromBytes(bytes: Uint8Array): RawNodeKey };
  signAnswers(key: RawNodeKey, answers: Uint8Array, lengths: readonly number[]): Promise<Uint8Array>;
}

const lib = native<NodeKeyBinding>(['NativeNodeKey', 'signAnswers']);

let rawOf: (key: NodeKey) => RawNodeKey;

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

  readonly #raw: RawNodeKey;

  static {
    rawOf = (key) => key.#raw;
  }

  private constructor(handle: RawNodeKey) {
    this.#raw = handle;
    this.publicKey = handle.publicKey();
    this.publicKeyUncompressed = handle.publicKeyUncompressed();
    this.address = handle.address();
  }

  /** Makes a fresh key from the operating system's generator. */
  static generate(): NodeKey {
    return new NodeKey(attempt(() => lib.NativeNodeKey.generate()));
  }

  /**
   * Reads a 32-byte big-endian scalar. The caller wipes `bytes`.
   *
   * @throws {@link KmsError} `KEY_INVALID` unless it is between 1 and n - 1.
   */
  static fromBytes(bytes: Uint8Array): NodeKey {
    return new NodeKey(attempt(() => lib.NativeNodeKey.fromBytes(bytes)));
  }

  /** Copies the scalar out, for the vault; the array has a buffer of its own, which the caller wipes. */
  secretBytes(): Uint8Array {
    return attempt(() => this.#raw.secretBytes());
  }

  /** Signs a 32-byte digest as Ethereum does: `r ‖ s ‖ v`, v 27 or 28. */
  signDigest(digest: Uint8Array): Uint8Array {
    return attempt(() => this.#raw.signDigest(digest));
  }

  /** Signs SHA-256(`data`): `r ‖ s`, 64 bytes. */
  signSha256(data: Uint8Array): Uint8Array {
    return attempt(() => this.#raw.signSha256(data));
  }

  /** Signs an answer on the calling thread. */
  signAnswer({ digest, tagged }: AnswerToSign): SignedAnswer {
    return { external: this.signDigest(digest), internal: this.signSha256(tagged) };
  }

  /**
   * Signs answers, in their order, by one call on the native thread pool; what they hold is copied at once. A key that
   * is disposed of meanwhile lives until the call ends.
   *
   * @throws {@link KmsError} `REQUEST_INVALID` for all of them if a digest has not 32 bytes; `KEY_INVALID`.
   */
  async signAnswers(answers: readonly AnswerToSign[]): Promise<SignedAnswer[]> {
    if (answers.some(({ digest }) => digest.byteLength !== DIGEST_BYTES)) {
      throw new KmsError('REQUEST_INVALID', `a digest must be ${DIGEST_BYTES} bytes`);
    }
    const lengths = answers.map(({ digest, tagged }) => digest.byteLength + tagged.byteLength);
    const bytes = concatBytes(...answers.flatMap(({ digest, tagged }) => [digest, tagged]));
    const signatures = await attemptAsync(() => lib.signAnswers(this.#raw, bytes, lengths));
    return answers.map((_, index) => {
      const at = index * (EXTERNAL_BYTES + INTERNAL_BYTES);
      const end = at + EXTERNAL_BYTES;
      return { external: signatures.subarray(at, end), internal: signatures.subarray(end, end + INTERNAL_BYTES) };
    });
  }

  /** Signs a 32-byte digest; ASN.1 DER, for certificates. */
  signDer(digest: Uint8Array): Uint8Array {
    return attempt(() => this.#raw.signDer(digest));
  }

  /** Derives the public key of another scheme (spec 4.7): 32, 1312, 1952 or 2592 bytes. */
  derivedPublicKey(scheme: number): Uint8Array {
    return attempt(() => this.#raw.derivedPublicKey(scheme));
  }

  /** Signs `data` itself with a derived key: 64, 2420, 3309 or 4627 bytes. */
  signScheme(scheme: number, data: Uint8Array): Uint8Array {
    return attempt(() => this.#raw.signScheme(scheme, data));
  }

  /** Derives the Ed25519 public key of a purpose, 32 bytes. Table: docs/security/signatures.md. */
  purposePublicKey(purpose: KeyPurpose): Uint8Array {
    return attempt(() => this.#raw.purposePublicKey(purpose));
  }

  /** Signs `data` itself with the key of a purpose: 64 bytes. */
  signPurpose(purpose: KeyPurpose, data: Uint8Array): Uint8Array {
    return attempt(() => this.#raw.signPurpose(purpose, data));
  }

  /** Erases the scalar once calls that still use it end. Further use throws `KEY_INVALID`. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toJSON(): string {
    return '[NodeKey]';
  }

  [inspect.custom](): string {
    return '[NodeKey]';
  }
}

/** Returns the native handle behind a key, for this folder's other native calls. */
export function rawNodeKey(key: NodeKey): RawNodeKey {
  return rawOf(key);
}
