/**
 * Requests for a live party, each with an id of its own, and the status of a call as a number.
 */
import { systemRandom } from '../../common/random.ts';
import { GrpcError } from '../../parent/grpc/status.ts';
import type { PublicDecryptionRequest, UserDecryptionRequest } from '../../proto/gen/kms_pb.js';
import { formatAddress } from '../../wire/addresses.ts';
import { idFromBytes, type RequestId } from '../../wire/ids.ts';
import { generateUserKeyPair, type UserKeyPair } from '../../wire/signcryption.ts';
import { handleOf, publicDecryptionRequest, userDecryptionRequest } from './requests.ts';

/** A ciphertext with what a request says of it. */
export interface TestCiphertext {
  readonly ciphertext: Uint8Array;
  readonly fheType: number;
  /** 2, BigCompressed, if absent. */
  readonly format?: number;
}

/** A user: ML-KEM key pair and an address. */
export interface TestUser extends UserKeyPair {
  readonly address: Uint8Array;
}

/** Returns an id that nobody has used. */
export function freshId(): RequestId {
  return idFromBytes(systemRandom(32));
}

/** Returns a new user. */
export function newUser(): TestUser {
  return { ...generateUserKeyPair(), address: systemRandom(20) };
}

/** Returns a public decryption request under a fresh id; `overrides` say what is otherwise in it. */
export function publicDecryption(
  keyId: string,
  ciphertexts: readonly TestCiphertext[],
  overrides: Parameters<typeof publicDecryptionRequest>[0] = {},
): PublicDecryptionRequest {
  return publicDecryptionRequest({
    requestId: { requestId: freshId() },
    keyId: { requestId: keyId },
    ciphertexts: ciphertexts.map(typedCiphertext),
    ...overrides,
  });
}

/** Returns a user decryption request under a fresh id; `overrides` say what is otherwise in it. */
export function userDecryption(
  keyId: string,
  ciphertexts: readonly TestCiphertext[],
  { encKey, address }: Pick<TestUser, 'encKey' | 'address'>,
  overrides: Parameters<typeof userDecryptionRequest>[0] = {},
): UserDecryptionRequest {
  return userDecryptionRequest({
    requestId: { requestId: freshId() },
    keyId: { requestId: keyId },
    typedCiphertexts: ciphertexts.map(typedCiphertext),
    clientAddress: formatAddress(address),
    encKey,
    ...overrides,
  });
}

/** How a call ended: its gRPC status, 0 if it succeeded, and the reason that it gave. */
export interface Outcome {
  readonly status: number;
  readonly reason: string;
}

/** Returns how a call ended. Anything that is no status is thrown on. */
export async function outcomeOf(call: Promise<unknown>): Promise<Outcome> {
  try {
    await call;
    return { status: 0, reason: '' };
  } catch (error) {
    if (error instanceof GrpcError) return { status: error.status, reason: error.explanation };
    throw error;
  }
}

/** Returns the gRPC status of a call, 0 if it succeeded. */
export async function statusOf(call: Promise<unknown>): Promise<number> {
  return (await outcomeOf(call)).status;
}

function typedCiphertext({ ciphertext, fheType, format = 2 }: TestCiphertext, index: number) {
  return { ciphertext, fheType, externalHandle: handleOf(index + 1, fheType), ciphertextFormat: format };
}
