/**
 * Preprocessing of a threshold node in developer mode: a dealt key needs none. The request is checked and its id signed,
 * as on a centralized node; the Core keeps the request and hands it over again with the key generation.
 */
import type { CallHandler } from '../call.ts';
import { preprocessing } from '../fhe/preprocessing.ts';
import { notDistributed, type ThresholdGenerationDeps } from './generation-deps.ts';

/**
 * Answers `KeyGenPreproc`: kms.v1.KeyGenPreprocRequest in, kms.v1.KeyGenPreprocResult out. Keeps nothing.
 *
 * The request does not say which form was asked for: the Core does not pass on the secure one, and a key generation that
 * is not marked insecure is refused whatever came before it. Outside of developer mode the answer is `UNIMPLEMENTED`.
 */
export const thresholdPreprocessing = (
  deps: Pick<ThresholdGenerationDeps, 'signer' | 'policy' | 'insecureOperations' | 'testParameters'>,
): CallHandler => {
  const sign = preprocessing(deps);
  return (call) => {
    if (!deps.insecureOperations) throw notDistributed();
    return sign(call);
  };
};
