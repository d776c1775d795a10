/** Bounds and times of a quorum. Everything that a peer can make this engine keep or do is bounded for each peer. */
import type { BookLimits } from './approval-book.ts';

/** See the file comment. */
export interface QuorumLimits extends BookLimits {
  /** How long a caller waits before it is told to ask again. */
  readonly windowMs: number;
  /** How long a request may wait before it has failed. */
  readonly failAfterMs: number;
  /** First pause before peers are asked for what they have not sent; each further one is twice as long. */
  readonly askAgainMs: number;
  readonly askAgainMostMs: number;
  /** Least pause between two answers to one peer about one request. */
  readonly answerPauseMs: number;
  /** What one peer may make this engine send again. */
  readonly answersBytesPerSecond: number;
  /** Shares of one peer that are kept until their requests are open. */
  readonly sharesBytesPerPeer: number;
  /** What may wait for one peer to take it. */
  readonly queuedBytesPerPeer: number;
  /** Shares of opened requests that are kept to hold late ones against, and how many late ones a second are. */
  readonly lateSharesBytes: number;
  readonly lateChecksPerSecond: number;
  /** This engine's own shares that are kept for peers that come late. */
  readonly ownSharesBytes: number;
}

const MINUTE_MS = 60_000;
const MIB = 1024 * 1024;

/** Bounds of a production engine. */
export const DEFAULT_LIMITS: QuorumLimits = {
  earlyPerPeer: 8192,
  keepEarlyMs: 10 * MINUTE_MS,
  maxPending: 16_384,
  maxEnded: 8192,
  keepEndedMs: 10 * MINUTE_MS,
  windowMs: MINUTE_MS,
  failAfterMs: 10 * MINUTE_MS,
  askAgainMs: 100,
  askAgainMostMs: 10_000,
  answerPauseMs: 50,
  answersBytesPerSecond: 4 * MIB,
  sharesBytesPerPeer: 16 * MIB,
  queuedBytesPerPeer: 8 * MIB,
  lateSharesBytes: MIB / 2,
  lateChecksPerSecond: 50,
  ownSharesBytes: 16 * MIB,
};
