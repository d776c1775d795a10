/**
 * The attestation library: verify and explain AWS Nitro attestation documents, of enclaves and of EC2 instances,
 * without the rest of Arca. No native code and no `node:` import, so it runs in a browser. See docs/attestation.md.
 */
export { AWS_NITRO_ROOT } from './aws-root.ts';
export { ChainCache } from './chain-cache.ts';
export { CHECK_GROUPS, CHECKS, type Check, type CheckNumber, type CheckStatus } from './checks.ts';
export type { JudgedAt } from './examine.ts';
export {
  type DocumentFacts,
  type ExpectedBinding,
  type ExplainOptions,
  type Explanation,
  explainDocument,
} from './explain.ts';
export { formatExplanation } from './format-explanation.ts';
export {
  type Measurement,
  type MeasurementVerdict,
  matchMeasurements,
  type PcrMismatch,
  type ReleaseComparison,
  type UnusableMeasurement,
} from './measurements.ts';
export type { DocumentInput, Platform, TrustAnchor } from './types.ts';
export {
  assertVerified,
  type LiveOptions,
  VerifiedDocument,
  verifyArchivedDocument,
  verifyLiveDocument,
} from './verify.ts';
