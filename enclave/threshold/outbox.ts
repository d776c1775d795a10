/**
 * What goes out to peers: whatever comes together within a tick leaves as one frame for each peer.
 *
 * A peer that takes nothing costs a bounded queue, of which the oldest entries are dropped: all of them can be asked
 * for again.
 */
import { encodeFrame, FRAME_HEADER_BYTES, MAX_QUORUM_FRAME_BYTES } from './quorum-frame.ts';
import type { QuorumLinks, QuorumTimers } from './quorum-links.ts';

interface Queue {
  entries: Uint8Array[];
  bytes: number;
  sending: boolean;
}

/** What an outbox has done. */
export interface OutboxCounts {
  readonly frames: number;
  readonly bytes: number;
  readonly dropped: number;
}

/** Entries on their way to peers. */
export class Outbox {
  readonly #links: QuorumLinks;
  readonly #timers: QuorumTimers;
  readonly #maxQueuedBytes: number;
  readonly #queues = new Map<number, Queue>();
  #scheduled = false;
  #closed = false;
  #frames = 0;
  #bytes = 0;
  #dropped = 0;

  constructor(options: { links: QuorumLinks; timers: QuorumTimers; maxQueuedBytes: number }) {
    this.#links = options.links;
    this.#timers = options.timers;
    this.#maxQueuedBytes = options.maxQueuedBytes;
  }

  /** What went out, with the bytes of whole frames. */
  counts(): OutboxCounts {
    return { frames: this.#frames, bytes: this.#bytes, dropped: this.#dropped };
  }

  /** Bytes that wait for a peer. */
  queuedBytes(to: number): number {
    return this.#queues.get(to)?.bytes ?? 0;
  }

  /** Puts an encoded entry into the peer's next frame. */
  push(to: number, entry: Uint8Array): void {
    const queue = this.#queues.get(to) ?? { entries: [], bytes: 0, sending: false };
    this.#queues.set(to, queue);
    queue.entries.push(entry);
    queue.bytes += entry.byteLength;
    while (queue.bytes > this.#maxQueuedBytes) {
      queue.bytes -= queue.entries.shift()?.byteLength ?? 0;
      this.#dropped += 1;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#timers.soon(() => {
      this.#scheduled = false;
      for (const [party, waiting] of this.#queues) this.#flush(party, waiting);
    });
  }

  /** Sends nothing more. */
  close(): void {
    this.#closed = true;
    this.#queues.clear();
  }

  #flush(to: number, queue: Queue): void {
    if (this.#closed || queue.sending || queue.entries.length === 0) return;
    const taken = queue.entries.splice(0, fitting(queue.entries));
    const frame = encodeFrame(taken);
    queue.bytes -= frame.byteLength - FRAME_HEADER_BYTES;
    queue.sending = true;
    this.#frames += 1;
    this.#bytes += frame.byteLength;
    const next = (): void => {
      queue.sending = false;
      this.#flush(to, queue);
    };
    this.#links.send(to, frame).then(next, next); // a frame that is lost is asked for again
  }
}

/** How many of the first entries fit into one frame. */
function fitting(entries: readonly Uint8Array[]): number {
  let bytes = FRAME_HEADER_BYTES;
  for (const [index, { byteLength }] of entries.entries()) {
    bytes += byteLength;
    if (bytes > MAX_QUORUM_FRAME_BYTES) return index;
  }
  return entries.length;
}
