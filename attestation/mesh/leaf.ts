/**
 * The ephemeral leaf of a process: a P-256 key that lives in this process alone, and its self-signed certificate that
 * carries an attestation document over that key. The private key is secret; it stays inside OpenSSL's context.
 */
import type { SecureContext } from 'node:tls';

/** A leaf that is ready for use. */
export interface MeshLeaf {
  /** The certificate. */
  readonly der: Uint8Array;
  /** SHA-256 of {@link der}, as it stands in proofs. */
  readonly sha256: Uint8Array;
  /** SubjectPublicKeyInfo of the key, as it stands in documents. */
  readonly spki: Uint8Array;
  /** Key and certificate as TLS takes them. */
  readonly secureContext: SecureContext;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Two thirds of its life. */
  readonly renewAtMs: number;
}
