/**
 * What a request is called among engines: its kind, its id, and a digest of everything in it that counts.
 *
 * An engine releases a share only for a digest that 2t + 1 engines announced, so the digest holds all that decides what
 * is revealed and to whom. Signing schemes and evidence are not in it: they change no share. Design: section 3, rule 5.
 */
import { hash } from 'node:crypto';
import { type CborValue, encodeCanonical } from '../../attestation/cbor.ts';
import { idBytes } from '../../wire/ids.ts';
import type { PublicDecryption, UserDecryption } from '../../wire/validate/decryption.ts';
import type { MaskedItems } from './masked-blocks.ts';
import { packedBlocks } from './packed-blocks.ts';

/** For everyone, for one user, or an opening of zero. Ids of the three are apart. */
export type RequestKind = 'public' | 'user' | 'zero';

/** The name of a request. */
export interface RequestName {
  readonly kind: RequestKind;
  /** 32 bytes. */
  readonly id: Uint8Array;
  /** SHA-256, 32 bytes. */
  readonly digest: Uint8Array;
}

/** A request's name, and what it has masked. */
export interface NamedRequest {
  readonly name: RequestName;
  readonly masked: MaskedItems;
}

/** Only hashed, never signed: it stands in no table of signatures. */
const LABEL = 'arca-request';
const VERSION = 2;
/** Bytes of a ciphertext's hash that tell it from the others which are counted. */
const KEY_BYTES = 16;

/** A collision-resistant hash of 32 bytes. Ciphertexts have 100 KB: this is what naming a request costs. */
export type CiphertextHash = (ciphertext: Uint8Array) => Uint8Array;

/** Names a request for everyone. */
export function namePublicRequest(request: PublicDecryption, hashOf: CiphertextHash): NamedRequest {
  return nameRequest('public', request, [], hashOf);
}

/** Names a request for one user. */
export function nameUserRequest(request: UserDecryption, hashOf: CiphertextHash): NamedRequest {
  return nameRequest('user', request, [request.clientAddress, sha256(request.encKey)], hashOf);
}

function nameRequest(
  kind: RequestKind,
  request: PublicDecryption | UserDecryption,
  recipient: readonly CborValue[],
  hashOf: CiphertextHash,
): NamedRequest {
  const { requestId, contextId, epochId, keyId, items, domain, extraData } = request;
  const { name, version, chainId, verifyingContract, salt } = domain;
  const id = idBytes(requestId);
  const hashes = items.map(({ ciphertext }) => hashOf(ciphertext));
  const preimage = encodeCanonical([
    LABEL,
    VERSION,
    kind,
    id,
    idBytes(contextId),
    idBytes(epochId),
    idBytes(keyId),
    items.map(({ fheType, format, externalHandle }, i) => [externalHandle, hashes[i] ?? null, fheType, format]),
    [name, version, chainId, verifyingContract, salt ?? null],
    extraData,
    recipient,
  ]);
  const masked = items.map(({ fheType, format }, i) => ({
    key: `${format} ${Buffer.from(hashes[i] ?? []).toString('latin1', 0, KEY_BYTES)}`,
    blocks: packedBlocks(fheType),
  }));
  return { name: { kind, id, digest: sha256(preimage) }, masked: { epochId, keyId, items: masked } };
}

function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', data, 'buffer'));
}
