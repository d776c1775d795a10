/** This engine's own shares of ended requests, kept for peers that come late as long as there is room. */
import type { LiveRequest } from './live-request.ts';

/** Holds shares in the order they were made; the oldest of ended requests make room. */
export class OwnShares {
  readonly #mostBytes: number;
  readonly #holders = new Set<LiveRequest>();
  #bytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a request's shares in. */
  keep(live: LiveRequest, shares: Uint8Array): void {
    live.shares = shares;
    this.#holders.add(live);
    this.#bytes += shares.byteLength;
    for (const holder of this.#holders) {
      if (this.#bytes <= this.#mostBytes) return;
      if (holder.own.endedMs !== undefined) this.drop(holder);
    }
  }

  /** Lets a request's shares go. */
  drop(live: LiveRequest): void {
    if (!this.#holders.delete(live)) return;
    this.#bytes -= live.shares?.byteLength ?? 0;
    live.shares = undefined;
  }
}
