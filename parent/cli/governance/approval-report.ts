/**
 * How far the signatures under an object have come, for people and for `--json`.
 */
import {
  type ApprovalStatus,
  approvalStatus,
  type Charter,
  type KeySignature,
  type Proposal,
  proposalFor,
  type ReleaseSignatureStatus,
  type Signed,
} from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';

/** Who has signed. Keys are hexadecimal. */
export interface StatusReport {
  readonly signatures: number;
  readonly needed: number;
  readonly complete: boolean;
  readonly signedBy: readonly string[];
  /** Signatures of keys that are not on the list; they count nothing. */
  readonly unknownKeys: readonly string[];
  /** Keys of the list whose signature does not verify. */
  readonly invalidSignatures: readonly string[];
}

/** Returns how far governance's approval of a record or release set has come. */
export function approvalReport(
  kind: 'record' | 'release-set',
  signed: Signed<{ readonly network: string }>,
  charter: Charter,
): StatusReport {
  return proposalReport(proposalFor(kind, signed), signed.approvals, charter);
}

/** Returns how far governance's approval of a proposal has come. */
export function proposalReport(proposal: Proposal, approvals: readonly KeySignature[], charter: Charter): StatusReport {
  const status = approvalStatus(proposal, approvals, charter);
  return reportOf(status, status.approved);
}

/** Returns how far the release keys' signatures have come. */
export function releaseReport(status: ReleaseSignatureStatus): StatusReport {
  return reportOf(status, status.complete);
}

function reportOf(
  status: Pick<ApprovalStatus, 'valid' | 'unknown' | 'invalid' | 'needed'>,
  complete: boolean,
): StatusReport {
  return {
    signatures: status.valid.length,
    needed: status.needed,
    complete,
    signedBy: status.valid.map(toHex),
    unknownKeys: status.unknown,
    invalidSignatures: status.invalid,
  };
}

/** Returns the lines that say so. */
export function describeApproval(report: StatusReport, who = 'governance'): string[] {
  const { signatures, needed, complete } = report;
  const state = complete ? 'complete' : `${needed - signatures} missing`;
  return [
    `  ${who}    ${signatures} of ${needed} signatures: ${state}`,
    ...report.signedBy.map((key) => `    signed      ${key}`),
    ...report.invalidSignatures.map((key) => `    INVALID     ${key}: its signature does not verify`),
    ...report.unknownKeys.map((key) => `    ignored     ${key}: not one of the keys that may sign`),
  ];
}
