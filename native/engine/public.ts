/**
 * The public face of the native engine: what anyone may load, the parent's processes included. No secret key passes
 * through anything here.
 */
export { addressOf, checkEncKey, DomainDigest, keccak256, recoverSigner, sha256, verifySignature } from './crypto.ts';
export { type EvaluationKeySource, EvaluationKeys, loadEvaluationKeys, plaintextBytes } from './evaluation.ts';
export { NativeBytes } from './native-bytes.ts';
