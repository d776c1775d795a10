/**
 * Sessions over the mesh: to each peer a session of its frame link under the same id, attested and encrypted.
 *
 * Payloads may be shares: nothing here reads one. A frame is one byte, 1 if the message goes on in the next frame and 0
 * if it ends, and a piece of the message; frames of one message follow one another. Format: docs/formats/mpc-sessions.md.
 */
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import type { FrameSession } from '../../attestation/mesh/frame-session.ts';
import { concatBytes } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { type ErrorCode, isKmsError, KmsError } from '../../common/errors.ts';
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

/** Largest piece of a message; links take at least as much. */
const PIECE_BYTES = 512 * 1024;
/** How long a session that has ended here waits for its peers' ends before it is forgotten. */
const LINGER_MS = 30_000;
/** A peer that cannot or will not read, or our own session ended. */
const PEER_GONE: ReadonlySet<ErrorCode> = new Set(['ABORTED', 'CANCELLED', 'STATE_INVALID', 'UNAVAILABLE']);
const LAST = 0;
const MORE = 1;

/** Returns the network of a party. */
export function meshNetwork(options: MeshNetworkOptions): SessionNetwork {
  const { me, n, t, links, clock, roundTimeoutMs, bytesPerPeer = 256 * 1024 * 1024, onFault } = options;
  return {
    me,
    n,
    t,
    open: (id, mode, signal) => {
      const flows = new Map<number, FrameSession>();
      const each = (act: (flow: FrameSession) => void): void => {
        for (const flow of flows.values()) act(flow);
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
            void sendPieces(flows.get(to), round, payload).then((error) => {
              sent();
              if (error) session.fail(error);
            });
          },
          end: () => {
            each((flow) => flow.end());
            setTimeout(() => each((flow) => flow.close()), LINGER_MS).unref();
          },
          close: () => each((flow) => flow.close()),
        },
      });
      for (const party of session.parties) {
        if (party === me) continue;
        const link = links.get(party);
        const flow = openFlow(link, id);
        if (flow) flows.set(party, flow);
        if (flow) void read(session, party, { flow, mostBytes: bytesPerPeer, drop: (reason) => link?.close(reason) });
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

function openFlow(link: FrameLink | undefined, id: Uint8Array): FrameSession | undefined {
  try {
    return link?.open(id);
  } catch (error) {
    if (isKmsError(error, 'UNAVAILABLE') || isKmsError(error, 'RESOURCE_EXHAUSTED')) return undefined;
    throw error;
  }
}

function unreachable(session: RoundSession, party: number): void {
  session.note(party, 'cannot be reached');
  session.lose(party);
}

/** A peer that takes no frames any more is noticed where its frames are read; any other error is returned. */
async function sendPieces(
  flow: FrameSession | undefined,
  round: number,
  payload: Uint8Array,
): Promise<KmsError | undefined> {
  if (!flow) return undefined;
  const sends: Promise<KmsError | undefined>[] = [];
  let from = 0;
  do {
    const to = Math.min(from + PIECE_BYTES, payload.byteLength);
    const frame = concatBytes(Uint8Array.of(to < payload.byteLength ? MORE : LAST), payload.subarray(from, to));
    sends.push(sendPiece(flow, round, frame));
    from = to;
  } while (from < payload.byteLength);
  return (await Promise.all(sends)).find((error) => error !== undefined);
}

async function sendPiece(flow: FrameSession, round: number, frame: Uint8Array): Promise<KmsError | undefined> {
  try {
    await flow.send(round, frame);
    return undefined;
  } catch (error) {
    if (!isKmsError(error)) throw error;
    return PEER_GONE.has(error.code) ? undefined : error;
  } finally {
    frame.fill(0);
  }
}

interface Reading {
  readonly flow: FrameSession;
  readonly mostBytes: number;
  /** Ends the connection to a peer that broke the format. */
  readonly drop: (reason: string) => void;
}

/** Hands a peer's messages to the session until there are no more. */
async function read(session: RoundSession, party: number, { flow, mostBytes, drop }: Reading): Promise<void> {
  // Small pieces cost more than their bytes: no message needs more pieces than the largest one.
  const mostPieces = Math.ceil(mostBytes / PIECE_BYTES);
  try {
    let pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    let lastRound: number | undefined;
    for await (const { round, payload } of flow) {
      const [mark, piece] = [payload[0], payload.slice(1)];
      if (lastRound !== undefined && round !== lastRound) throw violation('began a message within another');
      sizeBytes += piece.byteLength;
      if (sizeBytes > mostBytes || pieces.length >= mostPieces) throw violation('sent a message that is too large');
      if (mark !== MORE && mark !== LAST) throw violation('sent a frame of no message');
      pieces.push(piece);
      lastRound = mark === MORE ? round : undefined;
      if (mark === MORE) continue;
      const [only] = pieces;
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
    flow.close();
    if (error.code === 'REQUEST_INVALID') drop(error.message);
  } finally {
    session.lose(party);
  }
}

function violation(what: string): KmsError {
  return new KmsError('REQUEST_INVALID', what);
}
