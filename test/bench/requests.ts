/** The requests that are measured, written to files as the load generator wants them; and what their answers must be. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { addressOf } from '../../native/engine/public.ts';
import {
  CiphertextFormat,
  PublicDecryptionRequestSchema,
  PublicDecryptionResponseSchema,
  UserDecryptionRequestSchema,
  UserDecryptionResponseSchema,
} from '../../proto/gen/kms_pb.js';
import { parseAddress } from '../../wire/addresses.ts';
import { ENGINE_METHOD, type EngineMethod } from '../../wire/frames.ts';
import { parseVerificationKeyField } from '../../wire/payloads.ts';
import { generateUserKeyPair } from '../../wire/signcryption.ts';
import { verifyUserDecryption } from '../../wire/verify-response.ts';
import { DOMAIN, PLAINTEXT } from './party.ts';

/** A kind of request, ready to be sent. */
export interface BenchRequest {
  readonly name: 'public' | 'user';
  /** Path of the gRPC method. */
  readonly path: string;
  readonly engineMethod: EngineMethod;
  readonly body: Uint8Array;
  readonly bodyPath: string;
  /** Where in the body the digits of the request id stand. */
  readonly idAt: number;
  /** @throws Error unless the answer is right. */
  readonly check: (answer: Uint8Array) => void;
}

const PLACEHOLDER_ID = 'b1'.repeat(32);
const USER = '0x17853A630aAe15AED549B2B874de08B73C0F59c5';
const EUINT64 = 5;
const SERVICE = '/kms_service.v1.CoreServiceEndpoint';

/** Builds both requests and writes their bodies into `folder`. */
export function buildRequests(folder: string, keyId: string, ciphertext: Uint8Array): BenchRequest[] {
  const externalHandle = new Uint8Array(32).fill(0x2a);
  const typed = [{ ciphertext, fheType: EUINT64, externalHandle, ciphertextFormat: CiphertextFormat.BigCompressed }];
  const common = {
    requestId: { requestId: PLACEHOLDER_ID },
    keyId: { requestId: keyId },
    domain: DOMAIN.message,
  };
  const keys = generateUserKeyPair();
  const publicBody = toBinary(
    PublicDecryptionRequestSchema,
    create(PublicDecryptionRequestSchema, { ...common, ciphertexts: typed }),
  );
  const userBody = toBinary(
    UserDecryptionRequestSchema,
    create(UserDecryptionRequestSchema, {
      ...common,
      typedCiphertexts: typed,
      clientAddress: USER,
      encKey: keys.encKey,
    }),
  );
  const write = (name: 'public' | 'user', body: Uint8Array) => {
    const bodyPath = join(folder, `${name}-request`);
    writeFileSync(bodyPath, body);
    return { name, body, bodyPath, idAt: Buffer.from(body).indexOf(PLACEHOLDER_ID) };
  };
  return [
    {
      ...write('public', publicBody),
      path: `${SERVICE}/PublicDecryptSync`,
      engineMethod: ENGINE_METHOD.publicDecrypt,
      check: (answer) => requirePlaintext(fromBinary(PublicDecryptionResponseSchema, answer).payload?.plaintexts[0]),
    },
    {
      ...write('user', userBody),
      path: `${SERVICE}/UserDecryptSync`,
      engineMethod: ENGINE_METHOD.userDecrypt,
      check: (answer) => {
        const response = fromBinary(UserDecryptionResponseSchema, answer);
        const key = parseVerificationKeyField(response.payload?.verificationKey ?? new Uint8Array());
        const [plaintext] = verifyUserDecryption(response, {
          domain: DOMAIN.parsed,
          handles: [externalHandle],
          extraData: new Uint8Array(),
          signer: addressOf(key),
          clientAddress: parseAddress(USER, 'user'),
          encKey: keys.encKey,
          seed: keys.seed,
        });
        requirePlaintext(plaintext);
      },
    },
  ];
}

function requirePlaintext(plaintext: { readonly bytes: Uint8Array } | undefined): void {
  const found = plaintext && Buffer.from(plaintext.bytes).readBigUInt64LE();
  if (found !== PLAINTEXT) throw new Error(`the answer holds ${found} instead of ${PLAINTEXT}`);
}
