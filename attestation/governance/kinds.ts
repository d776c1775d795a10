/**
 * What may be proposed to governance.
 */

/** Kinds of proposals; their spelling is wire format. */
export const PROPOSAL_KINDS = [
  'context',
  'epoch',
  'custodian-context',
  'backup-keychain',
  'release-set',
  'record',
  'quorum-restart',
] as const;

/** A word out of {@link PROPOSAL_KINDS}. */
export type ProposalKind = (typeof PROPOSAL_KINDS)[number];

/** Returns whether the text names a kind of proposal. */
export function isProposalKind(text: string): text is ProposalKind {
  return PROPOSAL_KINDS.some((kind) => kind === text);
}
