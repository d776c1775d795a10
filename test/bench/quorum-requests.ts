/** Requests to a quorum, written to files as the load generator wants them; and what all answers together must say. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CiphertextFormat,
  PublicDecryptionRequestSchema,
  PublicDecryptionResponseSchema,
  UserDecryptionRequestSchema,
  UserDecryptionResponseSchema,
} from '../../proto/gen/kms_pb.js';
import { parseAddress } from '../../wire/addresses.ts';
import { generateUserKeyPair } from '../../wire/signcryption.ts';
import { parseUserDecryption } from '../../wire/validate/decryption.ts';
import { reconstructWithPublishedClient } from '../helpers/published-quorum-client.ts';
import { DOMAIN, PLAINTEXT } from './party.ts';

/** A kind of request, ready to be sent. */
export interface QuorumRequest {
  readonly name: 'public' | 'user';
  /** Path of the gRPC method. */
  readonly path: string;
  readonly body: Uint8Array;
  readonly bodyPath: string;
  /** Where in the body the digits of the request id stand. */
  readonly idAt: number;
  /**
   * Takes the parties' answers to one call, in their order.
   *
   * @throws Error unless they say, all of them or put together, what was encrypted.
   */
  readonly check: (answers: readonly (Uint8Array | undefined)[]) => void;
}

/** What is asked to be decrypted. */
export interface QuorumCiphertext {
  readonly ciphertext: Uint8Array;
  readonly fheType: number;
}

const PLACEHOLDER_ID = 'b1'.repeat(32);
const USER = '0x17853A630aAe15AED549B2B874de08B73C0F59c5';
const SERVICE = '/kms_service.v1.CoreServiceEndpoint';
const HANDLE = new Uint8Array(32).fill(0x2a);

/** Builds a public decryption of one ciphertext. */
export function publicRequest(folder: string, keyId: string, item: QuorumCiphertext): QuorumRequest {
  const body = toBinary(
    PublicDecryptionRequestSchema,
    create(PublicDecryptionRequestSchema, { ...common(keyId), ciphertexts: [typed(item)] }),
  );
  return {
    ...write(folder, 'public', item, body),
    path: `${SERVICE}/PublicDecryptSync`,
    check: (answers) => {
      for (const answer of present(answers)) {
        const { payload } = fromBinary(PublicDecryptionResponseSchema, answer);
        requireNumber(fromLittleEndian(payload?.plaintexts[0]?.bytes));
      }
    },
  };
}

/** Builds a user decryption of one ciphertext; the published client puts the answers together. */
export function userRequest(
  folder: string,
  keyId: string,
  item: QuorumCiphertext,
  signers: readonly string[],
): QuorumRequest {
  const keys = generateUserKeyPair();
  const message = create(UserDecryptionRequestSchema, {
    ...common(keyId),
    typedCiphertexts: [typed(item)],
    clientAddress: USER,
    encKey: keys.encKey,
  });
  const addresses = signers.map((signer) => parseAddress(signer, 'a party'));
  return {
    ...write(folder, 'user', item, toBinary(UserDecryptionRequestSchema, message)),
    path: `${SERVICE}/UserDecryptSync`,
    check: (answers) => {
      const responses = present(answers).map((answer) => fromBinary(UserDecryptionResponseSchema, answer));
      const [found] = reconstructWithPublishedClient(parseUserDecryption(message), responses, keys, addresses);
      requireNumber(found?.value);
    },
  };
}

function common(keyId: string) {
  return { requestId: { requestId: PLACEHOLDER_ID }, keyId: { requestId: keyId }, domain: DOMAIN.message };
}

function typed({ ciphertext, fheType }: QuorumCiphertext) {
  return { ciphertext, fheType, externalHandle: HANDLE, ciphertextFormat: CiphertextFormat.BigCompressed };
}

function write(folder: string, name: 'public' | 'user', { fheType }: QuorumCiphertext, body: Uint8Array) {
  const bodyPath = join(folder, `quorum-${name}-${fheType}`);
  writeFileSync(bodyPath, body);
  return { name, body, bodyPath, idAt: Buffer.from(body).indexOf(PLACEHOLDER_ID) };
}

function present(answers: readonly (Uint8Array | undefined)[]): Uint8Array[] {
  const given = answers.filter((answer) => answer !== undefined);
  if (given.length === 0) throw new Error('no party has answered');
  return given;
}

function fromLittleEndian(bytes: Uint8Array = new Uint8Array()): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function requireNumber(found: bigint | undefined): void {
  if (found !== PLAINTEXT) throw new Error(`the answer holds ${found} instead of ${PLAINTEXT}`);
}
