/** What one peer may cost: bytes that are kept for it, and bytes that it makes this engine send again. */

/** Counts what is kept of each peer. */
export class PeerBytes {
  readonly #mostBytes: number;
  readonly #bytes = new Map<number, number>();

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** Bytes kept of a peer. */
  of(party: number): number {
    return this.#bytes.get(party) ?? 0;
  }

  /** Counts bytes in, unless they are too many. */
  take(party: number, bytes: number): boolean {
    if (this.of(party) + bytes > this.#mostBytes) return false;
    this.#bytes.set(party, this.of(party) + bytes);
    return true;
  }

  /** Counts bytes out. */
  give(party: number, bytes: number): void {
    this.#bytes.set(party, this.of(party) - bytes);
  }
}

/** A bucket for each peer that fills at a steady rate and holds one second of it. */
export class PeerRate {
  readonly #bytesPerSecond: number;
  readonly #buckets = new Map<number, { level: number; atMs: number }>();

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Takes bytes out of a peer's bucket, unless there is not enough in it. */
  take(party: number, bytes: number, nowMs: number): boolean {
    const bucket = this.#buckets.get(party) ?? { level: this.#bytesPerSecond, atMs: nowMs };
    this.#buckets.set(party, bucket);
    const filled = bucket.level + ((nowMs - bucket.atMs) / 1000) * this.#bytesPerSecond;
    bucket.level = Math.min(this.#bytesPerSecond, filled);
    bucket.atMs = nowMs;
    if (bucket.level < bytes) return false;
    bucket.level -= bytes;
    return true;
  }
}
