/**
 * What a protocol sees of the world: who takes part, and rounds of messages between them.
 *
 * A protocol is an async function over a {@link Session}; the same code runs over the mesh and over the simulated network
 * of the tests. Channels are private and authenticated, so `from` is true; everything in a body may be a lie.
 * Spec: threshold protocols, sections 2.1 and 2.2.
 */
import type { KmsError } from '../../common/errors.ts';

/**
 * `sync`: every round has a deadline, and who has not answered by then is taken as silent.
 * `async`: no deadlines; a wait ends when enough has come, or by the session's signal.
 */
export type SessionMode = 'sync' | 'async';

/** One party's message of one round. */
export interface RoundMessage {
  readonly from: number;
  /** The receiver's own bytes: it may keep, change and wipe them. */
  readonly body: Uint8Array;
}

/** A wrong that one party saw another do. Local: never forwarded, never a reason to leave a party out elsewhere. */
export interface Fault {
  readonly party: number;
  readonly what: string;
}

/** One run of one protocol, as one party sees it. Rounds are numbered from 1 and used in order. */
export interface Session {
  /** This party's role, 1-based. */
  readonly me: number;
  /** Number of parties. */
  readonly n: number;
  /** How many of them may lie: less than a third. */
  readonly t: number;
  /** All roles, 1 to n, in order. */
  readonly parties: readonly number[];
  /** 32 bytes, never used for two runs. */
  readonly id: Uint8Array;
  readonly mode: SessionMode;
  readonly signal: AbortSignal;
  /** Parties that everybody knows to be corrupt, by what was broadcast. Their messages are no longer read. */
  readonly corrupt: ReadonlySet<number>;
  /** What this party has seen others do wrong, in order. */
  readonly faults: readonly Fault[];
  /** Returns the first of the next `count` round numbers; all parties take the same numbers for the same things. */
  takeRounds(count: number): number;
  /** Sends to one party. The session owns the payload and wipes it once nothing of it can have to be sent again. */
  send(to: number, round: number, payload: Uint8Array): void;
  /** Sends the same to every other party. The session owns the payload; this one is not secret and not wiped. */
  sendToAll(round: number, payload: Uint8Array): void;
  /**
   * Yields the messages of a round as they come, at most one of each party, never one's own. Ends when everybody has
   * answered who is still waited for, or at the round's deadline. Drops what comes for earlier rounds from now on.
   *
   * @param skip - Parties that send nothing in this round.
   * @throws KmsError `CANCELLED` by the session's signal.
   */
  receive(round: number, skip?: ReadonlySet<number>): AsyncIterable<RoundMessage>;
  /** Notes a party as corrupt for the rest of the session. Only on grounds that all honest parties share. */
  exclude(party: number, what: string): void;
  /** Notes a wrong that only this party may have seen. */
  note(party: number, what: string): void;
  /** Ends the session: sends what is still to be sent and reads no more. */
  end(): void;
  /** Ends the session at once. */
  fail(error: KmsError): void;
}

/** How sessions come to be: the mesh, or the simulated network. */
export interface SessionNetwork {
  readonly me: number;
  readonly n: number;
  readonly t: number;
  /**
   * Opens the session of this id. The others open it, too; who is first does not matter.
   *
   * @param id - 32 bytes, used once.
   */
  open(id: Uint8Array, mode: SessionMode, signal: AbortSignal): Session;
}
