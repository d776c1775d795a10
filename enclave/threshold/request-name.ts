/**
 * What a request is called among engines: its kind, its id, and a digest of everything in it that counts.
 *
 * An engine releases a share only for a digest that 2t + 1 engines announced, so the digest holds all that decides what
 * is revealed and to whom. Signing schemes and evidence are not in it: they change no share. Design: section 3, rule 5.
 */
import { createHash } from 'node:crypto';
import { type CborValue, encodeCanonical } from '../../attestation/cbor.ts';
import { toHex } from '../../common/bytes.ts';
import { idBytes } from '../../wire/ids.ts';
import type { PublicDecryption, UserDecryption } from '../../wire/validate/decryption.ts';

/** For everyone, or for one user. Ids of the two are apart. */
export type RequestKind = 'public' | 'user';

/** The name of a request. */
export interface RequestName {
  readonly kind: RequestKind;
  /** 32 bytes. */
  readonly id: Uint8Array;
  /** SHA-256, 32 bytes. */
  readonly digest: Uint8Array;
}

/** Only hashed, never signed: it stands in no table of signatures. */
const LABEL = 'arca-request';
const VERSION = 1;

/** Names a request for everyone. */
export function namePublicRequest(request: PublicDecryption): RequestName {
  return nameRequest('public', request, []);
}

/** Names a request for one user. */
export function nameUserRequest(request: UserDecryption): RequestName {
  return nameRequest('user', request, [request.clientAddress, sha256(request.encKey)]);
}

function nameRequest(
  kind: RequestKind,
  request: PublicDecryption | UserDecryption,
  recipient: readonly CborValue[],
): RequestName {
  const { requestId, contextId, epochId, keyId, items, domain, extraData } = request;
  const { name, version, chainId, verifyingContract, salt } = domain;
  const id = idBytes(requestId);
  const preimage = encodeCanonical([
    LABEL,
    VERSION,
    kind,
    id,
    idBytes(contextId),
    idBytes(epochId),
    idBytes(keyId),
    items.map(({ ciphertext, fheType, format, externalHandle }) => [
      externalHandle,
      sha256(ciphertext),
      fheType,
      format,
    ]),
    [name, version, chainId, verifyingContract, salt ?? null],
    extraData,
    recipient,
  ]);
  return { kind, id, digest: sha256(preimage) };
}

/** Two requests of one kind and id are one request, or one of them is another request under a known id. */
export function idKeyOf({ kind, id }: Pick<RequestName, 'kind' | 'id'>): string {
  return `${kind} ${toHex(id)}`;
}

function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(data).digest());
}
