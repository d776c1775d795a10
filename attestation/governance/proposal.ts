/**
 * Proposals: what governance signs. A change takes effect only when m of the governance keys of the charter have
 * signed the digest of the proposal that names it; they sign nothing else, ever.
 *
 * digest = SHA-384 of canonical `['arca-proposal-1', {network, kind, digest}]`. Spec: docs/formats/governance.md.
 */
import type { KeyObject } from 'node:crypto';
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { decodeLabelled, encodeLabelled, GOVERNANCE_LABEL, sha384 } from './canonical.ts';
import type { Charter } from './charter.ts';
import { type KeySignature, rawPublicKey, signWith } from './ed25519.ts';
import type { Faults, Field } from './fields.ts';
import { PROPOSAL_KINDS, type ProposalKind } from './kinds.ts';
import { DIGEST_BYTES, readNetwork } from './names.ts';
import {
  decodeSigned,
  describeUncounted,
  judgeSignatures,
  onlyOf,
  type SignatureJudgement,
  type Signed,
  signedFromJson,
  withSignature,
} from './signed.ts';

/** The change that is to be approved. */
export interface Proposal {
  readonly network: string;
  readonly kind: ProposalKind;
  /** SHA-384 of the subject: of the body of a record or release set, of the request for the other kinds. */
  readonly digest: Uint8Array;
}

/** How far a proposal has come. */
export interface ApprovalStatus extends SignatureJudgement {
  readonly needed: number;
  readonly approved: boolean;
}

const WHAT = 'the proposal';

/** Returns the canonical bytes of a proposal. */
export function encodeProposal(proposal: Proposal): Uint8Array {
  return encodeLabelled(GOVERNANCE_LABEL.proposal, {
    network: proposal.network,
    kind: proposal.kind,
    digest: proposal.digest,
  });
}

/**
 * Reads the canonical bytes of a proposal.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function decodeProposal(bytes: Uint8Array): Proposal {
  return decodeLabelled(bytes, GOVERNANCE_LABEL.proposal, WHAT, readProposal);
}

/** Returns what governance keys sign: SHA-384 of the proposal's canonical bytes. */
export function proposalDigest(proposal: Proposal): Uint8Array {
  return sha384(encodeProposal(proposal));
}

/**
 * Signs a proposal with a governance key.
 *
 * @param keys - Keys that may approve; undefined signs without asking.
 * @throws {@link KmsError} `KEY_INVALID` if the key is no Ed25519 key or not one of `keys`.
 */
export function approve(proposal: Proposal, privateKey: KeyObject, keys?: readonly Uint8Array[]): KeySignature {
  const own = toHex(rawPublicKey(privateKey));
  if (keys !== undefined && !keys.some((key) => toHex(key) === own)) {
    throw new KmsError('KEY_INVALID', `the key ${own} is none of the governance keys of the charter`, { key: own });
  }
  return signWith(privateKey, proposalDigest(proposal));
}

/**
 * Returns a record or release set with the approval of one more governance key.
 *
 * @throws {@link KmsError} `KEY_INVALID` if the key is no Ed25519 key or not one of `keys`.
 */
export function withApproval<T extends { readonly network: string }>(
  kind: 'record' | 'release-set',
  signed: Signed<T>,
  privateKey: KeyObject,
  keys?: readonly Uint8Array[],
): Signed<T> {
  const approval = approve(proposalFor(kind, signed), privateKey, keys);
  return { ...signed, approvals: withSignature(signed.approvals, approval) };
}

/** Returns who approved a proposal under a charter; duplicates count once, strangers are named and count nothing. */
export function approvalStatus(
  proposal: Proposal,
  approvals: readonly KeySignature[],
  charter: Charter,
): ApprovalStatus {
  const judgement = judgeSignatures(approvals, charter.governance.keys, proposalDigest(proposal));
  const needed = charter.governance.threshold;
  const approved = proposal.network === charter.network && judgement.valid.length >= needed;
  return { ...judgement, needed, approved };
}

/** Returns the object with those approvals alone that count under the charter. */
export function withCountedApprovals<T extends { readonly network: string }>(
  kind: 'record' | 'release-set',
  signed: Signed<T>,
  charter: Charter,
): Signed<T> {
  const { valid } = approvalStatus(proposalFor(kind, signed), signed.approvals, charter);
  return { ...signed, approvals: onlyOf(signed.approvals, valid) };
}

/**
 * Requires that a proposal is approved.
 *
 * @throws {@link KmsError} `APPROVAL_MISSING`, naming the proposal's digest and the signatures that did not count.
 */
export function verifyApprovals(
  proposal: Proposal,
  approvals: readonly KeySignature[],
  charter: Charter,
): ApprovalStatus {
  const status = approvalStatus(proposal, approvals, charter);
  if (status.approved) return status;
  throw approvalMissing(proposal, status);
}

/** Returns the error of a change that governance has not approved. */
export function approvalMissing(proposal: Proposal, status: ApprovalStatus): KmsError {
  const digest = toHex(proposalDigest(proposal));
  const have = status.valid.length;
  return new KmsError(
    'APPROVAL_MISSING',
    `needs ${status.needed} governance signatures over proposal ${digest}, has ${have}${describeUncounted(status)}`,
    { proposalDigest: digest, kind: proposal.kind, signatures: have, needed: status.needed },
  );
}

/** Returns the proposal that puts a record or a release set into force. */
export function proposalFor(kind: 'record' | 'release-set', signed: Signed<{ readonly network: string }>): Proposal {
  return { network: signed.body.network, kind, digest: sha384(signed.bytes) };
}

/**
 * Reads a stored proposal with its approvals, which are not verified here.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function decodeSignedProposal(bytes: Uint8Array): Signed<Proposal> {
  return decodeSigned(bytes, WHAT, decodeProposal);
}

/** Returns a proposal as it is stored, with no approval yet. */
export function unsignedProposal(proposal: Proposal): Signed<Proposal> {
  const bytes = encodeProposal(proposal);
  return { body: decodeProposal(bytes), bytes, signatures: [], approvals: [] };
}

/** Returns the JSON form of a proposal for people. */
export function proposalToJson(proposal: Proposal): Readonly<Record<string, unknown>> {
  return { network: proposal.network, kind: proposal.kind, digest: toHex(proposal.digest) };
}

/**
 * Reads the JSON form of a proposal with its approvals.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function signedProposalFromJson(value: unknown): Signed<Proposal> {
  return signedFromJson(value, WHAT, { read: readProposal, encode: encodeProposal });
}

function readProposal(body: Field, _faults: Faults): Proposal {
  return body.object((fields) => ({
    network: readNetwork(fields.get('network')),
    kind: fields.get('kind').word(PROPOSAL_KINDS),
    digest: fields.get('digest').bytes(DIGEST_BYTES),
  }));
}
