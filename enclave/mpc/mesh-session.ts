/**
 * Sessions over the mesh: to each peer a session of its frame link under the same id, attested and encrypted.
 *
 * A connection that ends while the session runs, as when certificates end before a slow machine comes to renew them, is no
 * matter if another one stands soon: what may have been lost is sent again. Payloads may be shares: nothing here reads one.
 * Format: docs/formats/mpc-sessions.md.
 */
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import { concatBytes } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { LAST, MORE, Outgoing, PIECE_BYTES } from './outgoing.ts';
import { RoundSession, type Timers } from './round-session.ts';
import type { Fault, SessionNetwork } from './session.ts';

/** Settings of a party's mesh. */
export interface MeshNetworkOptions {
  readonly me: number;
  readonly n: number;
  readonly t: number;
  /** A link to each other party. One without a connection when a session begins is silent in that session. */
  readonly links: ReadonlyMap<number, FrameLink>;
  readonly clock: Clock;
  /** Time-out of a round in synchronous mode. */
  readonly roundTimeoutMs: number;
  /** What one peer may have unread in a session, and the size of its largest message. Default 256 MiB. */
  readonly bytesPerPeer?: number;
  /** Told what each session notes of other parties. */
  readonly onFault?: (fault: Fault) => void;
}

/** How long a session that has ended here waits for its peers' ends before it is forgotten. */
const LINGER_MS = 30_000;

/** Returns the network of a party. */
export function meshNetwork(options: MeshNetworkOptions): SessionNetwork {
  const { me, n, t, links, clock, roundTimeoutMs, bytesPerPeer = 256 * 1024 * 1024, onFault } = options;
  return {
    me,
    n,
    t,
    open: (id, mode, signal) => {
      const outgoing = new Map<number, Outgoing>();
      const close = (): void => {
        for (const to of outgoing.values()) to.close();
      };
      const session = new RoundSession({
        me,
        n,
        t,
        id,
        mode,
        signal,
        roundTimeoutMs,
        bytesPerPeer,
        onFault,
        timers: timersOf(clock),
        wire: {
          send: (to, round, payload, sent) => {
            const peer = outgoing.get(to);
            if (peer) peer.send(round, payload, sent);
            else sent();
          },
          end: () => {
            for (const { flow } of outgoing.values()) flow.end();
            setTimeout(close, LINGER_MS).unref();
          },
          close,
        },
      });
      for (const party of session.parties) {
        if (party === me) continue;
        const link = links.get(party);
        const peer = openOutgoing(link, id, (error) => session.fail(error));
        if (peer) outgoing.set(party, peer);
        if (peer) void read(session, party, { peer, mostBytes: bytesPerPeer, drop: (reason) => link?.close(reason) });
        else unreachable(session, party);
      }
      return session;
    },
  };
}

function timersOf(clock: Clock): Timers {
  return {
    monotonicMs: () => clock.monotonicMs(),
    at: (instantMs, callback) => {
      const timer = setTimeout(callback, Math.max(0, instantMs - clock.monotonicMs()));
      return () => clearTimeout(timer);
    },
  };
}

function openOutgoing(
  link: FrameLink | undefined,
  id: Uint8Array,
  onError: (error: KmsError) => void,
): Outgoing | undefined {
  try {
    return link && new Outgoing(link, id, onError);
  } catch (error) {
    if (isKmsError(error, 'UNAVAILABLE') || isKmsError(error, 'RESOURCE_EXHAUSTED')) return undefined;
    throw error;
  }
}

function unreachable(session: RoundSession, party: number): void {
  session.note(party, 'cannot be reached');
  session.lose(party);
}

interface Reading {
  readonly peer: Outgoing;
  readonly mostBytes: number;
  /** Ends the connection to a peer that broke the format. */
  readonly drop: (reason: string) => void;
}

/** Hands a peer's messages to the session until there are no more. */
async function read(session: RoundSession, party: number, { peer, mostBytes, drop }: Reading): Promise<void> {
  const { flow } = peer;
  // Small pieces cost more than their bytes: no message needs more pieces than the largest one.
  const mostPieces = Math.ceil(mostBytes / PIECE_BYTES);
  try {
    let pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    let lastRound: number | undefined;
    let { restarts } = flow;
    for await (const { round, payload } of flow) {
      if (flow.restarts !== restarts) {
        // On another connection whole messages come again.
        ({ restarts } = flow);
        [pieces, sizeBytes, lastRound] = [[], 0, undefined];
      }
      const [mark, piece] = [payload[0], payload.slice(1)];
      if (lastRound !== undefined && round !== lastRound) throw violation('began a message within another');
      sizeBytes += piece.byteLength;
      if (sizeBytes > mostBytes || pieces.length >= mostPieces) throw violation('sent a message that is too large');
      if (mark !== MORE && mark !== LAST) throw violation('sent a frame of no message');
      pieces.push(piece);
      lastRound = mark === MORE ? round : undefined;
      if (mark === MORE) continue;
      const [only] = pieces;
      peer.heard(round);
      // Nobody who keeps to the protocol is so far ahead; the session has noted it.
      if (session.deliver(party, round, pieces.length === 1 && only ? only : concatBytes(...pieces)) === 'too early') {
        drop('a round out of range');
        return;
      }
      pieces = [];
      sizeBytes = 0;
    }
  } catch (error) {
    if (!isKmsError(error)) throw error;
    if (error.code !== 'CANCELLED') session.note(party, error.message);
    peer.close();
    if (error.code === 'REQUEST_INVALID') drop(error.message);
  } finally {
    peer.forget();
    session.lose(party);
  }
}

function violation(what: string): KmsError {
  return new KmsError('REQUEST_INVALID', what);
}
