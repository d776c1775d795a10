/**
 * The secret face of the native engine: whole keys and what is done with them. Only the engine process and tests load
 * it; an import-direction test sees to that.
 */
export { AnswerBatches } from './answer-batches.ts';
export { blake3, checkEncKey, keccak256, sha256 } from './crypto.ts';
export {
  type CiphertextItem,
  FheKey,
  generateCrs,
  generateDecompressionKey,
  generateKeySet,
  type KeyLayout,
  type KeyObjectType,
  type KeySet,
  type ParamsName,
  type Provenance,
  publicDecrypt,
  publicDecryptSync,
  type Recipient,
  userDecrypt,
  userDecryptSync,
} from './fhe.ts';
export {
  type DealtKeySet,
  dealKeySet,
  KeyShares,
  type ShareProvenance,
  splitKey,
} from './key-shares.ts';
export { freeBuffer } from './lent-buffers.ts';
export { type MeasuredKind, measureObject } from './measure.ts';
export {
  loadSquashKeys,
  MaskKeys,
  type OpenedDecryption,
  openDecryption,
  openZeros,
  type PartialInput,
  partialDecrypt,
  type SquashKeys,
  setsOf,
  userShares,
  zeroShares,
} from './mpc.ts';
export { NativeBytes } from './native-bytes.ts';
export { type AnswerToSign, type KeyPurpose, NodeKey, type SignedAnswer } from './node-key.ts';
export { type PrssFamily, PrssKeys, prssWeights } from './prss.ts';
export { useBatchScheduling } from './scheduling.ts';
export {
  type BivariateShares,
  bivariateShare,
  combine,
  evaluate,
  extract,
  lagrangeWeights,
  type Opened,
  openRobust,
  type Ring,
  ShareVector,
  shamirShare,
} from './share-vector.ts';
