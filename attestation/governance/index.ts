/**
 * Charter, governed record, release sets, proposals, and an engine's memory of them. Spec: docs/formats/governance.md.
 */
export {
  GovernanceBook,
  type GovernanceOffer,
  type OfferOutcome,
  RELEASE_DELAY_MS,
} from './book.ts';
export { GOVERNANCE_LABEL } from './canonical.ts';
export * from './charter.ts';
export { type KeySignature, rawPublicKey } from './ed25519.ts';
export * from './expiry.ts';
export { faultsOf } from './fields.ts';
export * from './kinds.ts';
export { engineReleases, measurementsOf } from './measurements.ts';
export { isDeveloperNetwork, supermajority } from './names.ts';
export * from './proposal.ts';
export * from './record.ts';
export { REQUIRED_PCRS, shapeOf } from './release-rules.ts';
export * from './release-set.ts';
export { bodyDigest, encodeSigned, type Signed, signedToJson, withSignature } from './signed.ts';
export * from './upgrade-plan.ts';
