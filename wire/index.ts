/**
 * The package's public entry: what a client needs to ask a node and to check its answers. Pure functions over the
 * published formats; no network, no state.
 */
export { KmsError } from '../common/errors.ts';
export { formatAddress, parseAddress } from './addresses.ts';
export {
  crsgenDigest,
  type Domain,
  domainSeparator,
  keygenDigest,
  parseDomain,
  prepKeygenDigest,
  publicDecryptDigest,
  userDecryptionLink,
  userDecryptResponseDigest,
} from './eip712.ts';
export { encodeEncKey, parseEncKey } from './enc-key.ts';
export { encodeExtraDataV2 } from './extra-data.ts';
export { FHE_TYPES, type FheTypeInfo, fheType, fheTypeByName } from './fhe-types.ts';
export { deriveRequestId, parseRequestId, type RequestId } from './ids.ts';
export type { TypedPlaintextData } from './payloads.ts';
export { recoverSigner, verifyInternalSignature } from './signatures.ts';
export { encKeyOfSeed, generateUserKeyPair, type UserKeyPair } from './signcryption.ts';
export {
  type ExpectedAnswer,
  type ExpectedUserAnswer,
  verifyPublicDecryption,
  verifyUserDecryption,
} from './verify-response.ts';
