/**
 * One session of a bandwidth test, both ends: payloads of zeros in pieces, each answered with one byte when all of it has
 * come. Format: docs/formats/peer-frames.md.
 */
import { createHash } from 'node:crypto';
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import type { FrameSession } from '../../attestation/mesh/frame-session.ts';
import { concatBytes, fromHex, toHex } from '../../common/bytes.ts';
import { isKmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import { MOST_SESSIONS } from './bandwidth-limits.ts';

const PREFIX_BYTES = 16;
const PREFIX = createHash('sha256').update('bandwidth frames, version 1').digest().subarray(0, PREFIX_BYTES);
const PREFIX_HEX = toHex(PREFIX);
/** Nobody changes it, so all sessions may send it at the same time. */
const PIECE = new Uint8Array(512 * 1024);
/** Rounds of the frames. */
const MORE = 0;
const LAST = 1;
const TAKEN = Uint8Array.of(1);
/** Longer than any test. */
const SINK_MS = 120_000;

/** Opens a session that the peer will know for one of a test's. @throws KmsError as `FrameLink.open`. */
export function openBandwidthSession(link: FrameLink, random: RandomSource): FrameSession {
  return link.open(concatBytes(PREFIX, random(32 - PREFIX_BYTES)));
}

/**
 * Sends one payload.
 *
 * @returns Whether the peer has said to have it; it may end the session instead.
 * @throws KmsError as the session's `send` and `receive`.
 */
export async function sendPayload(session: FrameSession, payloadBytes: number): Promise<boolean> {
  let leftBytes = payloadBytes;
  do {
    const pieceBytes = Math.min(leftBytes, PIECE.byteLength);
    leftBytes -= pieceBytes;
    await session.send(leftBytes > 0 ? MORE : LAST, PIECE.subarray(0, pieceBytes));
  } while (leftBytes > 0);
  return (await session.receive()) !== undefined;
}

/** The receiving end, of all peers. */
export class BandwidthSink {
  /** Sessions of each peer that are open. */
  readonly #open = new Map<number, Set<FrameSession>>();

  /**
   * A peer has opened a session.
   *
   * @returns Whether it is one of a test's, which is read from now on or refused.
   */
  opened(party: number, link: FrameLink, id: string): boolean {
    if (!id.startsWith(PREFIX_HEX)) return false;
    const session = tryOpen(link, id);
    if (!session) return true;
    const open = this.#open.get(party) ?? new Set();
    this.#open.set(party, open.add(session));
    if (open.size > MOST_SESSIONS) session.close();
    const late = setTimeout(() => session.close(), SINK_MS).unref();
    void drain(session).finally(() => {
      clearTimeout(late);
      open.delete(session);
    });
    return true;
  }

  /** Ends all sessions. */
  close(): void {
    for (const open of this.#open.values()) for (const session of open) session.close();
  }
}

function tryOpen(link: FrameLink, id: string): FrameSession | undefined {
  try {
    return link.open(fromHex(id));
  } catch (error) {
    if (isKmsError(error)) return undefined;
    throw error;
  }
}

async function drain(session: FrameSession): Promise<void> {
  try {
    for await (const { round } of session) if (round === LAST) await session.send(LAST, TAKEN);
    session.end();
  } catch (error) {
    if (!isKmsError(error)) throw error;
    session.close();
  }
}
