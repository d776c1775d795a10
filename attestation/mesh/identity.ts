/**
 * Which party speaks: an Ed25519 key of one purpose, certified by the party's secp256k1 node key. Nothing here is secret;
 * the node key signs elsewhere. Design §3, "Identity is not measurement".
 *
 * preimage = canonical CBOR ['arca-identity-1', network, party, purpose, key], signed by its SHA-256.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { concatBytes, toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { type CborValue, encodeCanonical } from '../cbor.ts';
import type { IdentityCertificate, IdentityPurpose } from './mesh-context.ts';

const LABEL = 'arca-identity-1';
const ED25519_SPKI_PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00);
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 65;
/** Longest network id in UTF-8. */
export const MAX_NETWORK_BYTES = 64;

/** Returns the 32-byte digest that the node key signs to certify a key. */
export function identityDigest({
  network,
  party,
  purpose,
  key,
}: Omit<IdentityCertificate<IdentityPurpose>, 'signature'>): Uint8Array {
  return createHash('sha256')
    .update(encodeCanonical([LABEL, network, party, purpose, key]))
    .digest();
}

/**
 * Makes the certificate of a key.
 *
 * @param signDigest - Signs 32 bytes with the party's secp256k1 node key: r ‖ s ‖ v, 65 bytes, low s.
 */
export async function certifyIdentity<Purpose extends IdentityPurpose>(
  claim: Omit<IdentityCertificate<Purpose>, 'signature'>,
  signDigest: (digest: Uint8Array) => Uint8Array | Promise<Uint8Array>,
): Promise<IdentityCertificate<Purpose>> {
  const unsigned = { network: claim.network, party: claim.party, purpose: claim.purpose, key: claim.key };
  return { ...unsigned, signature: await signDigest(identityDigest(unsigned)) };
}

/**
 * Returns the Ethereum address of the node key that signed a certificate. That it is the right one says the caller's
 * view alone. About a millisecond; a certificate that was seen lately costs a hash.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` if no key can have made this signature, or its s is high.
 */
export function recoverIdentityAddress(certificate: IdentityCertificate<IdentityPurpose>): Uint8Array {
  const digest = identityDigest(certificate);
  const name = toHex(digest) + toHex(certificate.signature);
  const known = recovered.get(name) ?? recover(digest, certificate.signature);
  // Put at the end: what has not been shown for longest goes first.
  recovered.delete(name);
  recovered.set(name, known);
  if (recovered.size > MAX_RECOVERED) recovered.delete(recovered.keys().next().value ?? '');
  return known.slice();
}

/** Addresses by certificate: a party shows the same one with every leaf. */
const recovered = new Map<string, Uint8Array>();
const MAX_RECOVERED = 256;

function recover(digest: Uint8Array, signature: Uint8Array): Uint8Array {
  const v = signature[SIGNATURE_BYTES - 1] ?? 0;
  const recovery = v >= 27 ? v - 27 : v;
  try {
    if (recovery > 1) throw new KmsError('ATTESTATION_INVALID', 'v needs to be 0, 1, 27 or 28');
    const parsed = secp256k1.Signature.fromBytes(signature.subarray(0, SIGNATURE_BYTES - 1)).addRecoveryBit(recovery);
    if (parsed.hasHighS()) throw new KmsError('ATTESTATION_INVALID', 's needs to be low');
    const point = parsed.recoverPublicKey(digest);
    return keccak_256(point.toBytes(false).subarray(1)).slice(12);
  } catch (error) {
    throw new KmsError('ATTESTATION_INVALID', 'the identity certificate carries no possible signature', {}, error);
  }
}

/** Returns a certificate as it stands inside signed and hashed structures. */
export const identityToCbor = (c: IdentityCertificate<IdentityPurpose>): CborValue => [
  c.network,
  c.party,
  c.purpose,
  c.key,
  c.signature,
];

/**
 * Reads {@link identityToCbor}'s form of a certificate for one purpose.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for any other shape, length or purpose.
 */
export function identityFromCbor<Purpose extends IdentityPurpose>(
  value: CborValue | undefined,
  purpose: Purpose,
): IdentityCertificate<Purpose> {
  const [network, party, stated, key, signature] = Array.isArray(value) && value.length === 5 ? value : [];
  const ok =
    typeof network === 'string' &&
    Buffer.byteLength(network) <= MAX_NETWORK_BYTES &&
    isParty(party) &&
    stated === purpose &&
    key instanceof Uint8Array &&
    key.length === KEY_BYTES &&
    signature instanceof Uint8Array &&
    signature.length === SIGNATURE_BYTES;
  if (!ok) {
    const needs = `[network, party, "${purpose}", key, signature]`;
    throw new KmsError('REQUEST_INVALID', `an identity certificate needs ${needs}`);
  }
  return { network, party, purpose, key, signature };
}

/** Returns whether a value is a party number: 1 … 65,535. */
export const isParty = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 0xffff;

/** Returns whether a certified Ed25519 key signed these bytes; false for anything malformed. */
export function verifyMeshSignature(key: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
  if (key.length !== KEY_BYTES || signature.length !== 64) return false;
  try {
    const spki = Buffer.from(concatBytes(ED25519_SPKI_PREFIX, key).buffer);
    return verify(null, data, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature);
  } catch {
    return false; // not a point of the curve
  }
}
