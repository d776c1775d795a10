/**
 * A quorum's frames over the mesh: to each peer one session of its frame link, replaced with every new connection.
 *
 * Of two engines the one with the lower party number, which is the one that dials, opens the session; its id is a fixed
 * prefix and 16 random bytes, by which the other side knows what it is for. The session before is read to its end, so
 * nothing is lost when certificates are renewed. Frames may be shares: nothing here reads one.
 */
import { createHash } from 'node:crypto';
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import type { FrameSession } from '../../attestation/mesh/frame-session.ts';
import { concatBytes, fromHex, toHex } from '../../common/bytes.ts';
import { isKmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import type { QuorumLinks, QuorumListener } from './quorum-links.ts';

/** Settings of {@link MeshQuorumLinks}. */
export interface MeshQuorumLinksOptions {
  readonly me: number;
  /** The frame link to each other engine of the context. */
  readonly links: ReadonlyMap<number, FrameLink>;
  readonly random: RandomSource;
  /** Whether a peer may open one more session now: each costs an answer to all that waits. Any, if absent. */
  readonly mayOpen?: (party: number) => boolean;
  /** Told of a peer that broke the format of these sessions; its connection ends. */
  readonly onBroken?: (party: number) => void;
}

const PREFIX_BYTES = 16;
const PREFIX = createHash('sha256').update('quorum frames, version 1').digest().subarray(0, PREFIX_BYTES);
const ROUND = 0;

/** See the file comment. Whoever attaches connections to the links tells it of them. */
export class MeshQuorumLinks implements QuorumLinks {
  readonly #options: MeshQuorumLinksOptions;
  /** The session that frames go out on, and the one before it, which is only read. */
  readonly #current = new Map<number, FrameSession>();
  readonly #before = new Map<number, FrameSession>();
  #listener: QuorumListener | undefined;

  constructor(options: MeshQuorumLinksOptions) {
    this.#options = options;
  }

  /** A connection to a party is served. The lower party opens a session on it; the other side waits for that. */
  connected(party: number): void {
    const { me, links, random } = this.#options;
    const link = links.get(party);
    if (!link?.usable || me > party) return;
    this.#begin(party, link, concatBytes(PREFIX, random(32 - PREFIX_BYTES)));
  }

  /** The peer has opened a session; returns whether it is one of a quorum's, which is then open here, too. */
  opened(party: number, id: string): boolean {
    const { me, links, mayOpen } = this.#options;
    const link = links.get(party);
    if (!link || me < party || !id.startsWith(toHex(PREFIX))) return false;
    // Whoever opened one on a connection that stays would wait on it for ever: so the connection ends, too.
    if (mayOpen?.(party) === false) link.close(`the engine of party ${party} opens sessions without end`);
    else this.#begin(party, link, fromHex(id));
    return true;
  }

  /** Parties that a session stands to. */
  reachable(): readonly number[] {
    return [...this.#current.keys()];
  }

  async send(to: number, frame: Uint8Array): Promise<void> {
    try {
      await this.#current.get(to)?.send(ROUND, frame);
    } catch (error) {
      // The connection has ended, or the peer takes no more, or not as much at a time: the frame is lost.
      if (!isKmsError(error)) throw error;
    }
  }

  drop(party: number, reason: string): void {
    this.#options.links.get(party)?.close(reason);
  }

  listen(listener: QuorumListener): () => void {
    this.#listener = listener;
    for (const party of this.#current.keys()) listener.onConnected(party);
    return () => {
      if (this.#listener === listener) this.#listener = undefined;
    };
  }

  /** Sends no more. */
  close(): void {
    for (const session of this.#current.values()) session.end();
    this.#current.clear();
    this.#before.clear();
  }

  #begin(party: number, link: FrameLink, id: Uint8Array): void {
    const session = tryOpen(link, id);
    if (!session) return;
    this.#before.get(party)?.close();
    const before = this.#current.get(party);
    before?.end();
    if (before) this.#before.set(party, before);
    this.#current.set(party, session);
    void this.#read(party, session);
    this.#listener?.onConnected(party);
  }

  /** Hands on what comes until the session or its connection ends; a new connection brings a new session. */
  async #read(party: number, session: FrameSession): Promise<void> {
    try {
      for await (const { round, payload } of session) {
        if (round !== ROUND) {
          this.#options.onBroken?.(party);
          this.drop(party, 'a frame of a round out of range');
          return;
        }
        this.#listener?.onFrame(party, payload);
      }
      session.end();
    } catch (error) {
      if (!isKmsError(error)) throw error;
    } finally {
      if (this.#current.get(party) === session) this.#current.delete(party);
      if (this.#before.get(party) === session) this.#before.delete(party);
    }
  }
}

/** A link without a connection, or with too many sessions, gets its session with the next connection. */
function tryOpen(link: FrameLink, id: Uint8Array): FrameSession | undefined {
  try {
    return link.open(id);
  } catch (error) {
    if (isKmsError(error)) return undefined;
    throw error;
  }
}
