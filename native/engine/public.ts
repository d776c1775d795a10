/**
 * The public face of the native engine: what anyone may load, the parent's processes included. No secret key passes
 * through anything here.
 */
export {
  addressOf,
  blake3,
  checkEncKey,
  DomainDigest,
  keccak256,
  recoverSigner,
  sha256,
  verifySignature,
} from './crypto.ts';
export {
  Crs,
  type EvaluationKeySource,
  EvaluationKeys,
  type ExpandedInput,
  loadCrs,
  loadEvaluationKeys,
  plaintextBytes,
  proveInput,
  verifyAndExpand,
} from './evaluation.ts';
export { NativeBytes } from './native-bytes.ts';
export { useBatchScheduling } from './scheduling.ts';
