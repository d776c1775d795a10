/**
 * The proposals of a governance book: those that at least one governance key has signed, with the signatures that
 * count. Bounded; when full, the oldest that is not approved makes room.
 */
import type { KeyObject } from 'node:crypto';
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { MAX_PROPOSALS } from './book-state.ts';
import type { Charter } from './charter.ts';
import type { KeySignature } from './ed25519.ts';
import type { ProposalKind } from './kinds.ts';
import {
  type ApprovalStatus,
  approvalStatus,
  approve,
  type Proposal,
  proposalDigest,
  unsignedProposal,
} from './proposal.ts';
import { mergeSigned, onlyOf, type Signed, withSignature } from './signed.ts';

/** How far a proposal has come. */
export interface ProposalSummary {
  readonly kind: ProposalKind;
  /** SHA-384 of what is proposed; with network and kind it makes the proposal. */
  readonly digest: Uint8Array;
  /** What governance signs. */
  readonly proposalDigest: Uint8Array;
  readonly signatures: number;
  readonly needed: number;
  readonly approved: boolean;
}

/** Most changes that were asked for and are remembered. */
const MAX_ASKED = 64;

/** Proposals by digest, in order of first sight. */
export class ProposalList {
  readonly #charter: Charter;
  readonly #localKey: KeyObject | undefined;
  readonly #byDigest = new Map<string, Signed<Proposal>>();
  readonly #asked = new Map<string, Signed<Proposal>>();

  constructor(charter: Charter, localKey: KeyObject | undefined, stored: readonly Signed<Proposal>[]) {
    this.#charter = charter;
    this.#localKey = localKey;
    for (const proposal of stored) {
      const counted = this.#counted(proposal);
      if (counted.approvals.length > 0) this.#byDigest.set(nameOf(counted.body), counted);
    }
  }

  /** Notes that a change was asked for, so that people see what they may sign. Kept in memory alone. */
  ask(proposal: Proposal): void {
    const name = nameOf(proposal);
    if (this.#byDigest.has(name) || this.#asked.has(name)) return;
    const [oldest] = this.#asked.keys();
    if (this.#asked.size >= MAX_ASKED && oldest !== undefined) this.#asked.delete(oldest);
    this.#asked.set(name, unsignedProposal(proposal));
  }

  /** Everything that is kept. */
  all(): readonly Signed<Proposal>[] {
    return [...this.#byDigest.values()];
  }

  /** Everything that is kept or was asked for, as people see it. */
  summaries(): readonly ProposalSummary[] {
    return [...this.#byDigest.values(), ...this.#asked.values()].map(({ body, approvals }) => {
      const { valid, needed, approved } = approvalStatus(body, approvals, this.#charter);
      const { kind, digest } = body;
      return { kind, digest, proposalDigest: proposalDigest(body), signatures: valid.length, needed, approved };
    });
  }

  /** Signatures known for a proposal. */
  approvalsOf(proposal: Proposal): readonly KeySignature[] {
    return this.#byDigest.get(nameOf(proposal))?.approvals ?? [];
  }

  /** How far a proposal has come. */
  status(proposal: Proposal): ApprovalStatus {
    return approvalStatus(proposal, this.approvalsOf(proposal), this.#charter);
  }

  /**
   * Takes a proposal with its signatures.
   *
   * @throws {@link KmsError} `PERMISSION_DENIED` if it is of another network or no governance key has signed it,
   *   `RESOURCE_EXHAUSTED` when the list is full of approved ones.
   */
  offer(offered: Signed<Proposal>): 'in-force' | 'pending' | 'known' {
    if (offered.body.network !== this.#charter.network) {
      throw new KmsError('PERMISSION_DENIED', `the proposal is of another network than ${this.#charter.network}`);
    }
    const counted = this.#counted(offered);
    if (counted.approvals.length === 0) {
      throw new KmsError('PERMISSION_DENIED', 'the proposal carries no signature of a governance key of the charter', {
        proposalDigest: nameOf(offered.body),
      });
    }
    return this.#put(counted) ? (this.status(offered.body).approved ? 'in-force' : 'pending') : 'known';
  }

  /** Approves with the local key; returns whether that is new. */
  approveLocally(proposal: Proposal): boolean {
    if (this.#localKey === undefined) return false;
    const approval = approve(proposal, this.#localKey);
    const signed = unsignedProposal(proposal);
    const counted = this.#counted({ ...signed, approvals: withSignature([], approval) });
    return counted.approvals.length > 0 && this.#put(counted);
  }

  /** Adds signatures; returns whether any was new. */
  #put(offered: Signed<Proposal>): boolean {
    const name = nameOf(offered.body);
    const held = this.#byDigest.get(name);
    if (held === undefined) this.#makeRoom();
    const merged = held === undefined ? offered : mergeSigned(held, offered);
    if (held !== undefined && merged.approvals.length === held.approvals.length) return false;
    this.#byDigest.set(name, merged);
    this.#asked.delete(name);
    return true;
  }

  #makeRoom(): void {
    if (this.#byDigest.size < MAX_PROPOSALS) return;
    for (const [name, { body }] of this.#byDigest) {
      if (this.status(body).approved) continue;
      this.#byDigest.delete(name);
      return;
    }
    throw new KmsError('RESOURCE_EXHAUSTED', `keeps at most ${MAX_PROPOSALS} approved proposals`);
  }

  /** The proposal with those signatures alone that count. */
  #counted(proposal: Signed<Proposal>): Signed<Proposal> {
    const { valid } = approvalStatus(proposal.body, proposal.approvals, this.#charter);
    return { ...proposal, signatures: [], approvals: onlyOf(proposal.approvals, valid) };
  }
}

function nameOf(proposal: Proposal): string {
  return toHex(proposalDigest(proposal));
}
