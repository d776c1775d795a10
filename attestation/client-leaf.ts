/**
 * The certificate of an attested client port: an ephemeral P-256 key, self-signed, with a document over that key in the
 * private extension. Made by the Core, read by clients as hostile bytes. All of it is public but the key.
 *
 * Extension = canonical CBOR ['arca-client-leaf-1', network, party, document]; the document's public_key is the
 * certificate's SubjectPublicKeyInfo, its user_data {@link clientLeafDigest}. The label keeps one from passing for a leaf
 * of the mesh, and the reverse. Described in docs/operators/client-port.md.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { KmsError } from '../common/errors.ts';
import { decodeStrict, encodeCanonical } from './cbor.ts';
import { readLeafCertificate, verifyOwnSignature, writeLeafCertificate } from './mesh/leaf-certificate.ts';

const LABEL = 'arca-client-leaf-1';
const MAX_BYTES = 32 * 1024;
const MAX_NETWORK_CHARACTERS = 256;

/** What such a certificate says; nothing of it is true before its document has been verified. */
export interface ClientLeaf {
  readonly network: string;
  readonly party: number;
  readonly document: Uint8Array;
  /** SubjectPublicKeyInfo of the key that the document must bind. */
  readonly spki: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Returns the user_data of the document: SHA-384 over canonical CBOR ['arca-client-leaf-1', network, party, SPKI]. */
export function clientLeafDigest({ network, party, spki }: Pick<ClientLeaf, 'network' | 'party' | 'spki'>): Uint8Array {
  return createHash('sha384')
    .update(encodeCanonical([LABEL, network, party, spki]))
    .digest();
}

/** Writes the certificate. */
export function writeClientLeaf(leaf: ClientLeaf, privateKey: KeyObject): Uint8Array {
  const { network, party, document, ...fields } = leaf;
  return writeLeafCertificate({ ...fields, payload: encodeCanonical([LABEL, network, party, document]) }, privateKey);
}

/**
 * Reads a certificate that a server has shown.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` for anything that {@link writeClientLeaf} would not write.
 */
export function readClientLeaf(der: Uint8Array): ClientLeaf {
  if (der.length > MAX_BYTES) throw malformed('is too large');
  const { payload, ...fields } = readLeafCertificate(der);
  verifyOwnSignature(der);
  const decoded = decodeStrict(payload, { maxBytes: MAX_BYTES, maxDepth: 1, canonical: true });
  const [label, network, party, document, ...rest] = Array.isArray(decoded) ? decoded : [];
  const fits =
    label === LABEL &&
    typeof network === 'string' &&
    network.length <= MAX_NETWORK_CHARACTERS &&
    typeof party === 'number' &&
    party > 0 &&
    document instanceof Uint8Array &&
    rest.length === 0;
  if (!fits) throw malformed('carries no attestation document for clients');
  return { ...fields, network, party, document };
}

const malformed = (why: string): KmsError => new KmsError('ATTESTATION_INVALID', `the server's certificate ${why}`);
