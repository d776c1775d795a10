/**
 * The proof that a side makes for one connection: a new attestation document and a signature of the mesh key, both
 * over everything that makes this connection this one. Nothing here is secret. Design §4, "Proof per connection".
 *
 * digest = SHA-384(canonical CBOR ['arca-mesh-proof-1', sender's role, service, exporter value, SHA-256 of the client's
 * leaf, SHA-256 of the server's leaf, network, context, sender's party, receiver's party, sender's incarnation,
 * SHA-256(hello)]).
 */
import { createHash } from 'node:crypto';
import { KmsError } from '../../common/errors.ts';
import { type CborValue, decodeStrict, encodeCanonical } from '../cbor.ts';
import { isRole, type Role, SERVICES, type Service } from '../role.ts';
import { MAX_HELLO_BYTES } from './hello.ts';
import { isParty, MAX_NETWORK_BYTES } from './identity.ts';
import { sha256 } from './leaf.ts';

const LABEL = 'arca-mesh-proof-1';
const CONTEXT_BYTES = 32;
const SIGNATURE_BYTES = 64;
const CLAIMS = ['role', 'service', 'network', 'context', 'sender', 'receiver', 'incarnation'] as const;

/** What both sides know of a connection before the proofs. */
export interface Channel {
  readonly service: Service;
  /** TLS exporter value, 32 bytes. */
  readonly exporter: Uint8Array;
  readonly clientLeafSha256: Uint8Array;
  readonly serverLeafSha256: Uint8Array;
}

/** What a sender says of itself and of whom it means to talk to. */
export interface ProofClaims {
  readonly role: Role;
  readonly service: Service;
  readonly network: string;
  /** 32 bytes. */
  readonly context: Uint8Array;
  readonly sender: number;
  readonly receiver: number;
  readonly incarnation: number;
}

/** A proof as it travels. */
export interface Proof {
  /** Only to name what differs: the digest is computed from the receiver's own view, the incarnation alone is taken. */
  readonly claims: ProofClaims;
  /** Canonical bytes; see `hello.ts`. */
  readonly hello: Uint8Array;
  readonly document: Uint8Array;
  /** 64 bytes; empty for a role without a party key. */
  readonly meshSignature: Uint8Array;
}

/** Returns the 48 bytes that a proof's document carries as user_data and that the mesh key signs. */
export function proofDigest(channel: Channel, claims: ProofClaims, hello: Uint8Array): Uint8Array {
  const preimage = encodeCanonical([
    LABEL,
    claims.role,
    claims.service,
    channel.exporter,
    channel.clientLeafSha256,
    channel.serverLeafSha256,
    claims.network,
    claims.context,
    claims.sender,
    claims.receiver,
    claims.incarnation,
    sha256(hello),
  ]);
  return createHash('sha384').update(preimage).digest();
}

/** Returns the body of a PROOF message. */
export function encodeProof({ claims, hello, document, meshSignature }: Proof): Uint8Array {
  const named = CLAIMS.map((name): CborValue => claims[name]);
  return encodeCanonical([named, hello, document, meshSignature]);
}

/**
 * Reads the body of a PROOF message; nothing of it is true yet.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for any other shape or length.
 */
export function decodeProof(bytes: Uint8Array, maxBytes: number): Proof {
  const decoded = decodeStrict(bytes, { maxBytes, maxDepth: 2, canonical: true });
  const [claims, hello, document, meshSignature, ...rest] = Array.isArray(decoded) ? decoded : [];
  const ok =
    hello instanceof Uint8Array &&
    hello.length <= MAX_HELLO_BYTES &&
    document instanceof Uint8Array &&
    meshSignature instanceof Uint8Array &&
    (meshSignature.length === SIGNATURE_BYTES || meshSignature.length === 0) &&
    rest.length === 0;
  if (!ok) throw new KmsError('REQUEST_INVALID', 'a proof needs [claims, hello, document, signature]');
  return { claims: readClaims(claims), hello, document, meshSignature };
}

function readClaims(value: CborValue | undefined): ProofClaims {
  const fields = Array.isArray(value) && value.length === CLAIMS.length ? value : [];
  const [role, service, network, context, sender, receiver, incarnation] = fields;
  const ok =
    isRole(role) &&
    isService(service) &&
    typeof network === 'string' &&
    Buffer.byteLength(network) <= MAX_NETWORK_BYTES &&
    context instanceof Uint8Array &&
    context.length === CONTEXT_BYTES &&
    isParty(sender) &&
    isParty(receiver) &&
    typeof incarnation === 'number' &&
    Number.isSafeInteger(incarnation) &&
    incarnation >= 0;
  if (!ok) throw new KmsError('REQUEST_INVALID', `the claims of a proof need ${CLAIMS.join(', ')}`);
  return { role, service, network, context, sender, receiver, incarnation };
}

const isService = (value: unknown): value is Service => SERVICES.some((service) => service === value);
