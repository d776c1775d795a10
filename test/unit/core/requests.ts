/** Valid requests for tests of the Core; tests change one thing of them at a time. */
import { hash } from 'node:crypto';
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  CrsGenRequestSchema,
  KeyGenPreprocRequestSchema,
  KeyGenRequestSchema,
  NewCustodianContextRequestSchema,
  NewMpcContextRequestSchema,
  NewMpcEpochRequestSchema,
  PublicDecryptionRequestSchema,
  RequestIdSchema,
  UserDecryptionRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { encodeEncKey } from '../../../wire/enc-key.ts';

/** Fields to set in place of the valid ones. */
type Change<D extends DescMessage> = Extract<MessageInitShape<D>, { $typeName?: never }>;

/** Returns an id that belongs to a name. */
export const idOf = (name: string): string => hash('sha256', name, 'hex');

/** A key that the scripted engine has. */
export const KEY_ID = idOf('key');

/** A valid EIP-712 domain. */
export const DOMAIN = {
  name: 'Decryption',
  version: '1',
  chainId: Uint8Array.of(0x2a, 0x95),
  verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
};

const CIPHERTEXT = {
  ciphertext: Buffer.alloc(2000, 7),
  fheType: 5,
  externalHandle: Buffer.alloc(32, 9),
  ciphertextFormat: 2,
};

/** Encodes the `RequestId` of a `Get…Result`. */
export const idBody = (id: string): Uint8Array => toBinary(RequestIdSchema, create(RequestIdSchema, { requestId: id }));

/** Encodes a public decryption. */
export function publicDecryption(id: string, change: Change<typeof PublicDecryptionRequestSchema> = {}): Uint8Array {
  const request = {
    requestId: { requestId: id },
    keyId: { requestId: KEY_ID },
    ciphertexts: [CIPHERTEXT],
    domain: DOMAIN,
    ...change,
  };
  return toBinary(PublicDecryptionRequestSchema, create(PublicDecryptionRequestSchema, request));
}

/** Encodes a user decryption. */
export function userDecryption(id: string, change: Change<typeof UserDecryptionRequestSchema> = {}): Uint8Array {
  const request = {
    requestId: { requestId: id },
    keyId: { requestId: KEY_ID },
    typedCiphertexts: [CIPHERTEXT],
    clientAddress: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
    encKey: encodeEncKey(new Uint8Array(800)),
    domain: DOMAIN,
    ...change,
  };
  return toBinary(UserDecryptionRequestSchema, create(UserDecryptionRequestSchema, request));
}

/** Encodes a preprocessing. */
export function preprocessing(id: string, change: Change<typeof KeyGenPreprocRequestSchema> = {}): Uint8Array {
  const request = { requestId: { requestId: id }, params: 1, domain: DOMAIN, ...change };
  return toBinary(KeyGenPreprocRequestSchema, create(KeyGenPreprocRequestSchema, request));
}

/** Encodes a key generation. */
export function keyGeneration(
  id: string,
  preprocId: string,
  change: Change<typeof KeyGenRequestSchema> = {},
): Uint8Array {
  const request = { requestId: { requestId: id }, preprocId: { requestId: preprocId }, domain: DOMAIN, ...change };
  return toBinary(KeyGenRequestSchema, create(KeyGenRequestSchema, request));
}

/** Encodes a CRS generation. */
export function crsGeneration(id: string, change: Change<typeof CrsGenRequestSchema> = {}): Uint8Array {
  const request = { requestId: { requestId: id }, params: 1, maxNumBits: 64, domain: DOMAIN, ...change };
  return toBinary(CrsGenRequestSchema, create(CrsGenRequestSchema, request));
}

/** Encodes a context of one node. */
export function newContext(id: string, change: { threshold?: number; softwareVersion?: string } = {}): Uint8Array {
  const node = { mpcIdentity: 'node', partyId: 1, externalUrl: 'https://node.example:443' };
  const newContext = {
    contextId: { requestId: id },
    mpcNodes: [node],
    threshold: 0,
    softwareVersion: '1.0.0',
    ...change,
  };
  return toBinary(NewMpcContextRequestSchema, create(NewMpcContextRequestSchema, { newContext }));
}

/** Encodes a new epoch. */
export function newEpoch(id: string, change: Change<typeof NewMpcEpochRequestSchema> = {}): Uint8Array {
  const request = { epochId: { requestId: id }, ...change };
  return toBinary(NewMpcEpochRequestSchema, create(NewMpcEpochRequestSchema, request));
}

/** Encodes a custodian context of three. */
export function newCustodianContext(id: string, mpcContextId: string, threshold = 1): Uint8Array {
  const custodianNodes = [1n, 2n, 3n].map((custodianRole) => ({ custodianRole, name: `c${custodianRole}` }));
  const request = {
    newCustodianContext: { custodianNodes, custodianContextId: { requestId: id }, threshold },
    mpcContextId: { requestId: mpcContextId },
  };
  return toBinary(NewCustodianContextRequestSchema, create(NewCustodianContextRequestSchema, request));
}
