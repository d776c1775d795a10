/**
 * Structural checks of decryption requests. Ciphertext bytes, types and formats are not looked at: as in the
 * published service they fail when the result is due, not when the request starts.
 */
import { equalBytes } from '../../common/bytes.ts';
import type { PublicDecryptionRequest, TypedCiphertext, UserDecryptionRequest } from '../../proto/gen/kms_pb.js';
import { type Keccak256, keccak256, parseAddress } from '../addresses.ts';
import { parseEncKey } from '../enc-key.ts';
import type { RequestId } from '../ids.ts';
import { invalidField, parseSigned, requiredId, type SignedRequest } from './common.ts';

/** A ciphertext to decrypt. Its bytes are views into the request. */
interface CiphertextItem {
  readonly ciphertext: Uint8Array;
  /** As the client wrote it; may be no known type. */
  readonly fheType: number;
  /** As the client wrote it; may be no known format. */
  readonly format: number;
  readonly externalHandle: Uint8Array;
}

/** A public decryption, checked. */
export interface PublicDecryption extends SignedRequest {
  readonly keyId: RequestId;
  readonly items: readonly CiphertextItem[];
}

/** A user decryption, checked. */
export interface UserDecryption extends SignedRequest {
  readonly keyId: RequestId;
  readonly items: readonly CiphertextItem[];
  /** 20 bytes. */
  readonly clientAddress: Uint8Array;
  /** As received, 869 bytes: what is hashed. */
  readonly encKey: Uint8Array;
}

const MAX_HANDLE_BYTES = 32;

/**
 * Checks a public decryption request.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` naming the field.
 */
export function parsePublicDecryption(
  message: PublicDecryptionRequest,
  keccak: Keccak256 = keccak256,
): PublicDecryption {
  return {
    ...parseSigned(message, keccak),
    keyId: requiredId(message.keyId, 'key_id'),
    items: parseItems(message.ciphertexts, 'ciphertexts'),
  };
}

/**
 * Checks a user decryption request.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` naming the field.
 */
export function parseUserDecryption(message: UserDecryptionRequest, keccak: Keccak256 = keccak256): UserDecryption {
  const signed = parseSigned(message, keccak);
  const keyId = requiredId(message.keyId, 'key_id');
  const items = parseItems(message.typedCiphertexts, 'typed_ciphertexts');
  items.forEach(({ externalHandle }, index) => {
    if (externalHandle.byteLength > MAX_HANDLE_BYTES) {
      throw invalidField('external_handle', 'must have at most 32 bytes', { index });
    }
  });
  const clientAddress = parseAddress(message.clientAddress, 'client_address', keccak);
  if (equalBytes(clientAddress, signed.domain.verifyingContract)) {
    throw invalidField('client_address', 'must differ from domain.verifying_contract');
  }
  parseEncKey(message.encKey);
  return { ...signed, keyId, items, clientAddress, encKey: message.encKey };
}

function parseItems(ciphertexts: readonly TypedCiphertext[], field: string): readonly CiphertextItem[] {
  if (ciphertexts.length === 0) throw invalidField(field, 'must not be empty');
  return ciphertexts.map(({ ciphertext, fheType, ciphertextFormat, externalHandle }) => ({
    ciphertext,
    fheType,
    format: ciphertextFormat,
    externalHandle,
  }));
}
