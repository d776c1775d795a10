/**
 * The ephemeral leaf of a process: a P-256 key that lives in this process alone, and its self-signed certificate that
 * carries an attestation document over that key, who the process says it is, and the party's signature over the key.
 * Read here, as hostile bytes; made in `make-leaf.ts`.
 *
 * Extension = canonical CBOR ['arca-mesh-leaf-1', network, party, role, document, identity certificate | null,
 * mesh signature | null]. Byte by byte in docs/security/mesh.md.
 */
import { createHash } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { KmsError } from '../../common/errors.ts';
import { decodeStrict, encodeCanonical } from '../cbor.ts';
import { isRole, type Role } from '../role.ts';
import { identityFromCbor, identityToCbor, isParty, MAX_NETWORK_BYTES } from './identity.ts';
import { type LeafFields, readLeafCertificate } from './leaf-certificate.ts';
import type { IdentityCertificate } from './mesh-context.ts';

const LABEL = 'arca-mesh-leaf-1';
const SIGNATURE_BYTES = 64;

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

/** What a peer's leaf says; nothing of it is true before the judge has checked it. */
export interface LeafClaims extends LeafFields {
  /** The whole certificate. */
  readonly der: Uint8Array;
  readonly sha256: Uint8Array;
  readonly network: string;
  readonly party: number;
  readonly role: Role;
  readonly document: Uint8Array;
  readonly identityCertificate: IdentityCertificate | undefined;
  readonly meshSignature: Uint8Array | undefined;
}

/** Returns the 48 bytes that a leaf's document carries as user_data and that the mesh key signs. */
export function leafDigest(leaf: Pick<LeafClaims, 'network' | 'party' | 'role' | 'spki'>): Uint8Array {
  return createHash('sha384')
    .update(encodeCanonical([LABEL, leaf.network, leaf.party, leaf.role, leaf.spki]))
    .digest();
}

/** Returns the content of the private extension. */
export function encodeLeafPayload(leaf: Omit<LeafClaims, 'der' | 'sha256' | keyof LeafFields>): Uint8Array {
  const { identityCertificate, meshSignature } = leaf;
  return encodeCanonical([
    LABEL,
    leaf.network,
    leaf.party,
    leaf.role,
    leaf.document,
    identityCertificate ? identityToCbor(identityCertificate) : null,
    meshSignature ?? null,
  ]);
}

/**
 * Reads a peer's leaf, bounds first. Costs a parse, no cryptography.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` for anything that {@link makeLeaf} would not write.
 */
export function readLeaf(der: Uint8Array, maxBytes: number): LeafClaims {
  if (der.length > maxBytes) {
    throw new KmsError('ATTESTATION_INVALID', `a leaf certificate has at most ${maxBytes} bytes`, {
      bytes: der.length,
    });
  }
  const fields = readLeafCertificate(der);
  const decoded = decodeStrict(fields.payload, { maxBytes, maxDepth: 3, canonical: true });
  const [label, network, party, role, document, certificate, signature, ...rest] = Array.isArray(decoded)
    ? decoded
    : [];
  const ok =
    label === LABEL &&
    typeof network === 'string' &&
    Buffer.byteLength(network) <= MAX_NETWORK_BYTES &&
    isParty(party) &&
    isRole(role) &&
    document instanceof Uint8Array &&
    (signature === null || (signature instanceof Uint8Array && signature.length === SIGNATURE_BYTES)) &&
    rest.length === 0;
  if (!ok) throw new KmsError('ATTESTATION_INVALID', 'the extension of the leaf certificate is malformed');
  return {
    ...fields,
    der,
    sha256: sha256(der),
    network,
    party,
    role,
    document,
    identityCertificate: certificate === null ? undefined : identityFromCbor(certificate, 'mesh'),
    meshSignature: signature ?? undefined,
  };
}

/** Returns SHA-256 of the bytes. */
export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
