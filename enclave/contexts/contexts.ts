/**
 * MPC contexts and their epochs, as one engine of a quorum holds them: who takes part, and with which mask keys.
 *
 * A context is public. An epoch's mask keys are secret; they stay in native memory behind {@link MaskKeys}.
 * Spec: kms-service.md sections 1.6 and 2.7, 2.8; threshold protocols, section 2.7.
 */
import type { MaskKeys } from '../../native/engine/index.ts';
import type { RequestId } from '../../wire/ids.ts';
import type { Session } from '../mpc/session.ts';
import type { Quorum } from '../threshold/quorum.ts';

/** One party as a context names it. */
export interface ContextParty {
  /** Its number, 1 to n, which is that of its charter. */
  readonly party: number;
  /** 20 bytes. */
  readonly address: Uint8Array;
  /** Where its mesh listens: `host:port`; empty if nobody knows. */
  readonly endpoint: string;
}

/** A set of parties that share keys. */
export interface Context {
  readonly contextId: RequestId;
  /** How many of the 3t + 1 parties may be corrupt. */
  readonly t: number;
  /** All parties, ascending by number. */
  readonly nodes: readonly ContextParty[];
  /** This node's number; 0 if it is not part of the context. */
  readonly party: number;
}

/** A set-up of mask keys within a context, done and stored. */
export interface Epoch {
  readonly contextId: RequestId;
  readonly epochId: RequestId;
  readonly context: Context;
  /** Owned by the epoch: wiped when it is destroyed. */
  readonly masks: MaskKeys;
  /** The engines of the context; the same for all of its epochs. */
  readonly quorum: Quorum;
}

/** What several engines do together, for one request. All of them must say the same. */
export interface JointWork {
  /** Which protocol: `insecure-keygen`, `prss-setup`, … */
  readonly kind: string;
  /** The request it is done for. */
  readonly id: RequestId;
  /** 32 bytes: digest of the meaning of the request. */
  readonly digest: Uint8Array;
  readonly contextId: RequestId;
  readonly epochId: RequestId;
}

/** What the quorums of all contexts hold and have done. */
export interface QuorumCounts {
  readonly pending: number;
  readonly remembered: number;
  readonly keptSharesBytes: number;
  readonly unknown: number;
  readonly framesSent: number;
  readonly bytesSent: number;
  readonly dropped: number;
  readonly publicDecryptions: number;
  readonly userDecryptions: number;
  /** Distinct blocks that were masked, by epoch. */
  readonly masks: readonly EpochMaskCount[];
}

/** How many distinct blocks were masked under an epoch, since the engine's start: at least so many. */
export interface EpochMaskCount {
  readonly contextId: RequestId;
  readonly epochId: string;
  readonly blocks: number;
}

/**
 * See the file comment. Requests come as their own bytes, encoded messages of kms.v1.
 *
 * Before the engine's start is confirmed, all but {@link list}, {@link epochs}, {@link settled} and {@link context} throw
 * as the start's gate does.
 */
export interface Contexts {
  /** All contexts, in no order that counts. */
  list(): readonly Context[];
  /** All epochs whose set-up is done. */
  epochs(): readonly Epoch[];
  /** False before the engine's start is confirmed, and while the default epoch is made that every party is to have first. */
  readonly settled: boolean;
  /**
   * Returns a context, the one that the governed record names if no id is given.
   *
   * @throws KmsError `NOT_FOUND`.
   */
  context(contextId?: RequestId): Context;
  /**
   * Returns an epoch of a context.
   *
   * @throws KmsError `NOT_FOUND` naming which of the two is unknown.
   */
  epoch(contextId: RequestId, epochId: RequestId): Epoch;
  /**
   * Takes a new context once governance has approved the request.
   *
   * @param body - kms.v1.NewMpcContextRequest.
   * @throws KmsError `REQUEST_INVALID` with all faults, `ALREADY_EXISTS`, `APPROVAL_MISSING`.
   */
  newContext(body: Uint8Array, signal: AbortSignal): Promise<void>;
  /**
   * Forgets a context, its epochs first, with their mask keys and shares.
   *
   * @param body - kms.v1.DestroyMpcContextRequest.
   * @returns The epochs that were destroyed.
   * @throws KmsError `NOT_FOUND`; `PRECONDITION_FAILED` for the last context, or while an epoch is made in it.
   */
  destroyContext(body: Uint8Array): Promise<readonly RequestId[]>;
  /**
   * Sets up an epoch with all parties of its context and stores it.
   *
   * @param body - kms.v1.NewMpcEpochRequest.
   * @throws KmsError `REQUEST_INVALID`, also for an epoch that exists; `ALREADY_EXISTS` while it is made; `NOT_FOUND`;
   *   `UNIMPLEMENTED` with `previous_epoch`; and what {@link joint} and the set-up throw.
   */
  newEpoch(body: Uint8Array, signal: AbortSignal): Promise<void>;
  /**
   * Erases an epoch, its mask keys and the shares under it, from memory and vault.
   *
   * @param body - kms.v1.DestroyMpcEpochRequest.
   * @throws KmsError `NOT_FOUND`; `PRECONDITION_FAILED` for the last epoch of the node.
   */
  destroyEpoch(body: Uint8Array): Promise<void>;
  /**
   * Waits until all parties of the context are there for the same work, then opens a session with fresh nonces of all.
   * The caller ends it.
   *
   * @throws KmsError `NOT_FOUND` for an unknown context; `PRECONDITION_FAILED` if this node is not in it; `UNAVAILABLE`
   *   naming who did not come; `ABORTED` if somebody asks for something else under this id; `CANCELLED`.
   */
  joint(work: JointWork, signal: AbortSignal): Promise<Session>;
  /** Calls back, and waits for it, when an epoch is destroyed: its shares must go from memory and vault. */
  onEpochDestroyed(listener: (epochId: RequestId) => Promise<void>): void;
  /** What the quorums hold and have done. */
  stats(): QuorumCounts;
  /** Ends the quorums and wipes all mask keys. */
  close(): Promise<void>;
}
