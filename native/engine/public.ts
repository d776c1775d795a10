/**
 * The public face of the native engine: what anyone may load, the parent's processes included. No secret key passes
 * through anything here.
 */
export { type EvaluationKeySource, EvaluationKeys, loadEvaluationKeys, plaintextBytes } from './evaluation.ts';
export { NativeBytes } from './native-bytes.ts';
