/**
 * What a process knows of each peer: whether it can be reached, whether it has proven itself, until when, how far its
 * clock is off, and if not, why. The data of `arca peers`; nothing is decided by it.
 */
import { toHex } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { type ErrorCode, isKmsError } from '../../common/errors.ts';
import type { Role } from '../role.ts';
import type { MeshConnection } from './mesh-context.ts';

/** Who a row is about. */
export interface PeerName {
  readonly role: Role;
  readonly party: number;
}

/** One peer, as it is now. */
export interface PeerRow extends PeerName {
  /** Where it is dialled, if it is. */
  readonly endpoint: string | undefined;
  /** Node address in hexadecimal; undefined for a Core or Connector, and before the first connection. */
  readonly address: string | undefined;
  /** Whether it answered the last time it was tried; undefined if it never was. */
  readonly reachable: boolean | undefined;
  /** Whether a verified connection is open now. */
  readonly attested: boolean;
  readonly connections: number;
  /** The facts of the newest verified connection; undefined before the first. */
  readonly release: string | undefined;
  readonly moduleId: string | undefined;
  readonly incarnation: number | undefined;
  /** When the newest connection must end: the earlier end of both leaves. */
  readonly expiresMs: number | undefined;
  /** Its clock minus ours. */
  readonly skewMs: number | undefined;
  /** When it was last verified or seen connected. */
  readonly lastSeenMs: number | undefined;
  /** Why it is not attested; undefined when it is. */
  readonly reason: string | undefined;
}

interface Peer extends PeerName {
  endpoint: string | undefined;
  reachable: boolean | undefined;
  newest: MeshConnection | undefined;
  readonly open: Set<MeshConnection>;
  lastSeenMs: number | undefined;
  reason: string | undefined;
}

/** Errors that say nobody was there, rather than that somebody was refused. */
const UNREACHABLE: ReadonlySet<ErrorCode> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);
/** Peers whose names come from strangers' connections are verified, so few; this bounds them all the same. */
const MOST_PEERS = 1024;

/** All peers of a process. */
export class PeerTable {
  readonly #clock: Clock;
  readonly #peers = new Map<string, Peer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lists a peer that is expected, though it may never have been seen. */
  expect(name: PeerName, endpoint?: string): void {
    const peer = this.#peer(name);
    if (peer) peer.endpoint = endpoint ?? peer.endpoint;
  }

  /** Takes a peer off the list that is no longer expected; its connections are not touched. */
  forget({ role, party }: PeerName): void {
    this.#peers.delete(`${role} ${party}`);
  }

  /** Notes that dialling a peer, or its handshake, failed. An attempt that was given up tells nothing of the peer. */
  failed(name: PeerName, error: unknown): void {
    if (isKmsError(error, 'CANCELLED')) return;
    const peer = this.#peer(name);
    if (!peer) return;
    peer.reachable = !(isKmsError(error) && UNREACHABLE.has(error.code));
    peer.reason = isKmsError(error) ? error.message : 'the connection could not be made';
  }

  /** Notes a verified connection, and follows it to its end. */
  connected(connection: MeshConnection): void {
    const peer = this.#peer(connection.peer);
    if (!peer) return;
    peer.reachable = true;
    peer.newest = connection;
    peer.open.add(connection);
    peer.lastSeenMs = this.#clock.nowMs();
    peer.reason = undefined;
    void connection.closed.then((reason) => {
      peer.open.delete(connection);
      peer.lastSeenMs = this.#clock.nowMs();
      if (peer.open.size === 0) peer.reason = reason;
    });
  }

  /** All peers, by role and party. */
  rows(): PeerRow[] {
    const nowMs = this.#clock.nowMs();
    return [...this.#peers.values()]
      .map((peer) => rowOf(peer, nowMs))
      .toSorted((a, b) => a.role.localeCompare(b.role) || a.party - b.party);
  }

  #peer({ role, party }: PeerName): Peer | undefined {
    const key = `${role} ${party}`;
    const known = this.#peers.get(key);
    if (known || this.#peers.size >= MOST_PEERS) return known;
    const open = new Set<MeshConnection>();
    const unknown = { endpoint: undefined, reachable: undefined, newest: undefined, lastSeenMs: undefined };
    const peer: Peer = { role, party, open, ...unknown, reason: 'not seen yet' };
    this.#peers.set(key, peer);
    return peer;
  }
}

function rowOf({ role, party, endpoint, reachable, newest, open, lastSeenMs, reason }: Peer, nowMs: number): PeerRow {
  const attested = open.size > 0;
  const address = newest?.peer.address;
  return {
    role,
    party,
    endpoint,
    address: address && toHex(address),
    reachable,
    attested,
    connections: open.size,
    release: newest?.peer.release,
    moduleId: newest?.peer.moduleId,
    incarnation: newest?.peer.incarnation,
    expiresMs: newest?.closeAtMs,
    skewMs: newest?.peer.skewMs,
    lastSeenMs: attested ? nowMs : lastSeenMs,
    reason: attested ? undefined : reason,
  };
}
