/**
 * `attest`: a document of this engine for anybody who asks, under the label 'arca-attest-1': the asker's nonce, and a
 * commitment to charter, address, release and incarnation. It binds no key, so it can never serve as a mesh proof.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { ATTEST_NONCE_BYTES, type AttestFacts, attestCommitment } from '../../attestation/attest-facts.ts';
import type { Attester } from '../../attestation/attester/attester.ts';
import { KmsError } from '../../common/errors.ts';
import { AttestCallSchema, AttestResultSchema } from '../../proto/gen/engine_pb.js';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';

/** What the call needs. */
export interface AttestDeps {
  readonly attester: Attester;
  /** As they are at this moment. */
  facts(): AttestFacts;
}

/** See the file comment. */
export const attest =
  ({ attester, facts }: AttestDeps): CallHandler =>
  async ({ body, signal }) => {
    const { nonce } = decodeRequest(AttestCallSchema, body);
    const { min, max } = ATTEST_NONCE_BYTES;
    if (nonce.byteLength < min || nonce.byteLength > max) {
      throw new KmsError('REQUEST_INVALID', `nonce needs ${min} to ${max} bytes`, { sizeBytes: nonce.byteLength });
    }
    const stated = facts();
    const fields = { nonce: nonce.slice(), userData: attestCommitment(stated) };
    const document = await attester.attest(fields, signal);
    const { incarnation, ...rest } = stated;
    const result = create(AttestResultSchema, { ...rest, document, incarnation: BigInt(incarnation) });
    return toBinary(AttestResultSchema, result);
  };
