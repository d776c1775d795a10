/**
 * Charter, governed record, release sets, proposals, and an engine's memory of them. Spec: docs/formats/governance.md.
 */
export { GOVERNANCE_LABEL } from './canonical.ts';
export * from './charter.ts';
export { type KeySignature, rawPublicKey } from './ed25519.ts';
export { measurementsOf } from './measurements.ts';
export { isDeveloperNetwork, supermajority } from './names.ts';
export * from './proposal.ts';
export * from './record.ts';
export * from './release-set.ts';
export { bodyDigest, encodeSigned, type Signed } from './signed.ts';
