/**
 * Shares that come after a request was opened: nobody needs them, but whoever lies late lies, too.
 *
 * What a request was opened with is kept for a while, within bounds, and late shares are held against it, so many a
 * second: at low load all of them, at high load a sample that is large enough for a liar not to stay unnamed.
 */
import type { LiveRequest } from './live-request.ts';

/** Settings of {@link LateChecks}. */
export interface LateChecksOptions {
  readonly perSecond: number;
  /** Bytes of shares of opened requests that are kept. */
  readonly mostBytes: number;
  readonly nowMs: () => number;
}

/** See the file comment. */
export class LateChecks {
  readonly #options: LateChecksOptions;
  readonly #kept = new Map<LiveRequest, number>();
  #bytes = 0;
  #left: number;
  #atMs: number;

  constructor(options: LateChecksOptions) {
    this.#options = options;
    this.#left = options.perSecond;
    this.#atMs = options.nowMs();
  }

  /** An opened request keeps its shares; the oldest ones make room. */
  keep(live: LiveRequest, bytes: number): void {
    this.#kept.set(live, bytes);
    this.#bytes += bytes;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#options.mostBytes) return;
      this.drop(oldest);
    }
  }

  /** A request's shares are kept no longer. */
  drop(live: LiveRequest): void {
    this.#bytes -= this.#kept.get(live) ?? 0;
    this.#kept.delete(live);
    live.collector = undefined;
  }

  /** Whether one more late share may be looked at now. */
  turn(): boolean {
    const { perSecond, nowMs } = this.#options;
    const now = nowMs();
    this.#left = Math.min(perSecond, this.#left + ((now - this.#atMs) / 1000) * perSecond);
    this.#atMs = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
