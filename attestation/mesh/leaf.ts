/**
 * The ephemeral leaf of a process: a P-256 key that lives in this process alone, and its self-signed certificate that
 * carries an attestation document over that key, who the process says it is, and the party's signature over the key.
 * The private key is secret: it goes into OpenSSL's context and its copies here are wiped.
 *
 * Extension = canonical CBOR ['arca-mesh-leaf-1', network, party, role, document, identity certificate | null,
 * mesh signature | null]. Byte by byte in docs/security/mesh.md.
 */
import { createHash, generateKeyPair, type KeyObject } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { promisify } from 'node:util';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { decodeStrict, encodeCanonical } from '../cbor.ts';
import { verifyLiveDocument } from '../document/index.ts';
import { isRole, type Role } from '../role.ts';
import { identityFromCbor, identityToCbor, isParty, MAX_NETWORK_BYTES } from './identity.ts';
import { INSTANCE_PCR, instanceRegister } from './instance.ts';
import { type LeafFields, readLeafCertificate, writeLeafCertificate } from './leaf-certificate.ts';
import type { IdentityCertificate, MeshEndpoint } from './mesh-context.ts';
import { meshSecureContext } from './tls.ts';

const LABEL = 'arca-mesh-leaf-1';
const SIGNATURE_BYTES = 64;
/** A peer whose clock is behind ours by less than the allowed skew shall not find our leaf too young. */
const BACKDATED_MS = 60_000;
const generate = promisify(generateKeyPair);

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

/**
 * Makes a key, has it attested and writes its certificate.
 *
 * The own document is verified first, so a process whose clock or chain its peers would refuse learns it here.
 *
 * @throws {@link KmsError} what the attester throws; `ATTESTATION_INVALID` if the own document does not verify.
 */
export async function makeLeaf(
  { self, view, clock, chains, limits }: Pick<MeshEndpoint, 'self' | 'view' | 'clock' | 'chains' | 'limits'>,
  signal?: AbortSignal,
): Promise<MeshLeaf> {
  const { publicKey, privateKey } = await generate('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const { network, party, role, identity } = self;
  const digest = leafDigest({ network, party, role, spki });
  const document = await self.attester.attest({ publicKey: spki, userData: digest }, signal);
  const nowMs = clock.nowMs();
  const own = await verifyLiveDocument(document, {
    anchor: view.anchor,
    nowMs,
    maxAgeMs: limits.maxProofAgeMs,
    skewMs: limits.maxSkewMs,
    cache: chains,
  });
  if (own.moduleId !== self.moduleId) {
    throw new KmsError('ATTESTATION_INVALID', 'the own document names another module than this process was told');
  }
  const parent = own.pcrs.get(INSTANCE_PCR);
  if (role === 'engine' && (parent === undefined || !equalBytes(parent, instanceRegister(own.instanceId)))) {
    throw new KmsError('ATTESTATION_INVALID', 'PCR4 of the own document is not the instance of its module id');
  }
  const notBeforeMs = Math.max(nowMs - BACKDATED_MS, own.notBeforeMs);
  const payload = encodeCanonical([
    LABEL,
    network,
    party,
    role,
    document,
    identity ? identityToCbor(identity.certificate) : null,
    identity ? identity.sign(digest) : null,
  ]);
  const der = writeLeafCertificate({ spki, notBeforeMs, notAfterMs: own.notAfterMs, payload }, privateKey);
  const notAfterMs = Math.floor(own.notAfterMs / 1000) * 1000;
  return {
    der,
    sha256: sha256(der),
    spki,
    secureContext: toSecureContext(der, privateKey),
    notBeforeMs,
    notAfterMs,
    renewAtMs: nowMs + ((notAfterMs - nowMs) * 2) / 3,
  };
}

function toSecureContext(der: Uint8Array, privateKey: KeyObject): SecureContext {
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  const keyPem = pem('PRIVATE KEY', pkcs8);
  try {
    return meshSecureContext(pem('CERTIFICATE', der), keyPem);
  } finally {
    keyPem.fill(0);
    pkcs8.fill(0);
  }
}

const BASE64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');

/** Writes PEM into a buffer of its own: a private key must not pass through a string, which nobody can wipe. */
function pem(label: string, bytes: Uint8Array): Buffer {
  const [head, foot] = [`-----BEGIN ${label}-----\n`, `-----END ${label}-----\n`];
  const groups = Math.ceil(bytes.length / 3);
  const out = Buffer.alloc(head.length + groups * 4 + Math.ceil(groups / 16) + foot.length);
  let at = out.write(head);
  for (let group = 0; group < groups; group++) {
    const from = group * 3;
    const word = ((bytes[from] ?? 0) << 16) | ((bytes[from + 1] ?? 0) << 8) | (bytes[from + 2] ?? 0);
    for (let i = 0; i < 4; i++) {
      const digit = from + i <= bytes.length ? BASE64[(word >> (18 - 6 * i)) & 0x3f] : 0x3d;
      out[at++] = digit ?? 0x3d;
    }
    if (group % 16 === 15 || group === groups - 1) out[at++] = 0x0a;
  }
  out.write(foot, at);
  return out;
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
    identityCertificate: certificate === null ? undefined : identityFromCbor(certificate),
    meshSignature: signature ?? undefined,
  };
}

/** Returns SHA-256 of the bytes. */
export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
