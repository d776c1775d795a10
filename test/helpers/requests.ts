/** Well-formed requests for tests, with what a test cares about put in. */
import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Eip712DomainMsgSchema,
  type PublicDecryptionRequest,
  PublicDecryptionRequestSchema,
  type UserDecryptionRequest,
  UserDecryptionRequestSchema,
} from '../../proto/gen/kms_pb.js';

/** The fields of a message as `create` takes them. */
export type Fields<Schema extends DescMessage> = Exclude<MessageInitShape<Schema>, { $typeName: string }>;

/** Domain D0 of the golden vectors: what the published command line client uses. */
export const D0: Fields<typeof Eip712DomainMsgSchema> = {
  name: 'Authorization token',
  version: '1',
  chainId: Uint8Array.of(0x1f, 0x46),
  verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
};

/** The user's address in the golden vectors. */
const USER_ADDRESS = '0x17853A630aAe15AED549B2B874de08B73C0F59c5';

/** Returns the id that is n, written as 64 digits. */
export function idOf(n: number): string {
  return n.toString(16).padStart(64, '0');
}

/** Returns a 32-byte handle whose last byte is n and whose type byte is as the chain writes it. */
export function handleOf(n: number, fheType = 0): Uint8Array {
  const handle = new Uint8Array(32);
  handle[30] = fheType;
  handle[31] = n;
  return handle;
}

/** A user decryption of one euint64 unless told otherwise. */
export function userDecryptionRequest(
  overrides: Fields<typeof UserDecryptionRequestSchema> = {},
): UserDecryptionRequest {
  return create(UserDecryptionRequestSchema, {
    requestId: { requestId: idOf(1) },
    keyId: { requestId: idOf(2) },
    typedCiphertexts: [{ ciphertext: Uint8Array.of(1, 2, 3), fheType: 5, externalHandle: handleOf(42) }],
    clientAddress: USER_ADDRESS,
    domain: D0,
    ...overrides,
  });
}

/** A public decryption of one euint64 unless told otherwise. */
export function publicDecryptionRequest(
  overrides: Fields<typeof PublicDecryptionRequestSchema> = {},
): PublicDecryptionRequest {
  return create(PublicDecryptionRequestSchema, {
    requestId: { requestId: idOf(1) },
    keyId: { requestId: idOf(2) },
    ciphertexts: [{ ciphertext: Uint8Array.of(1, 2, 3), fheType: 5, externalHandle: handleOf(42) }],
    domain: D0,
    ...overrides,
  });
}
