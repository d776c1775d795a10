/** This engine's own shares of ended requests, kept for peers that come late as long as there is room. */
import { KmsError } from '../../common/errors.ts';
import { nameOf } from './approval-book.ts';
import { ByteBlocks } from './byte-blocks.ts';
import type { LiveRequest } from './live-request.ts';
import { encodeEntry, MAX_SHARES_BYTES, tagOf } from './quorum-frame.ts';

/** Holds shares in the order they were made; the oldest of ended requests make room. */
export class OwnShares {
  readonly #mostBytes: number;
  readonly #blocks = new ByteBlocks();
  readonly #holders = new Set<LiveRequest>();
  #bytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes a request's shares in, of each ciphertext one, as they go out.
   *
   * @throws {@link KmsError} `TASK_FAILED` if they do not fit into a frame.
   */
  keep(live: LiveRequest, own: readonly Uint8Array[]): void {
    const all = Buffer.concat(own);
    if (all.byteLength > MAX_SHARES_BYTES) {
      const facts = { sizeBytes: all.byteLength, mostBytes: MAX_SHARES_BYTES };
      throw new KmsError('TASK_FAILED', 'too many ciphertexts in one request', facts);
    }
    const tag = tagOf(nameOf(live.own).digest);
    const shares = this.#blocks.keep(encodeEntry({ what: 'shares', tag, shares: all }));
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
