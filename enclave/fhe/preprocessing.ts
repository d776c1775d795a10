/**
 * Preprocessing of a centralized node: nothing to compute. The request is checked and its id signed; the Core keeps
 * the request and hands it over again with the key generation. Spec: kms-service.md section 1.6.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { KeyGenPreprocRequestSchema, KeyGenPreprocResultSchema } from '../../proto/gen/kms_pb.js';
import { prepKeygenDigest } from '../../wire/eip712.ts';
import { HASH_TAG } from '../../wire/hash.ts';
import { encodePrepKeygenSignedPayload } from '../../wire/signed-payloads.ts';
import { parseKeyGenPreproc } from '../../wire/validate/generation.ts';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import { type GenerationDeps, requireAllowed } from './generation-deps.ts';

/** Answers `KeyGenPreproc`: kms.v1.KeyGenPreprocRequest in, kms.v1.KeyGenPreprocResult out. Keeps nothing. */
export const preprocessing =
  (deps: Pick<GenerationDeps, 'signer' | 'policy' | 'insecureOperations' | 'testParameters'>): CallHandler =>
  ({ body, evidence }) => {
    const { signer, policy } = deps;
    const request = parseKeyGenPreproc(decodeRequest(KeyGenPreprocRequestSchema, body), signer.keccak);
    requireAllowed(deps, { insecure: false, params: request.params });
    policy.authorize('preprocessing', body, evidence);
    const { requestId: prepId, domain, extraData, signingSchemes } = request;
    const digest = prepKeygenDigest({ domain, prepKeygenId: prepId, extraData }, signer.keccak);
    const content = () => encodePrepKeygenSignedPayload({ prepId, extraData });
    const { external, typed } = signer.signResult(HASH_TAG.key, content, digest, signingSchemes);
    return toBinary(
      KeyGenPreprocResultSchema,
      create(KeyGenPreprocResultSchema, {
        preprocessingId: { requestId: prepId },
        externalSignature: external,
        signatures: typed.map(({ scheme, signature }) => ({ scheme, signature })),
      }),
    );
  };
