/**
 * The masked shares of one request, opened as soon as they decode.
 *
 * Shares are hostile: up to t of them are wrong, missing or late. The first of each party counts. Decoding is tried with
 * 2t + 1 shares and again with each further one, never more than t + 1 times; whoever the decoder finds wrong is named.
 * So is who sends something wrong afterwards, as long as the shares that opened it are kept.
 * Spec: threshold-protocols sections 2.3 and 3.5 (d).
 */
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { CiphertextItem } from '../../native/engine/index.ts';
import type { OpenDecryption } from './kernels.ts';

/** Settings of a collector. */
export interface CollectorOptions {
  readonly me: number;
  readonly n: number;
  readonly t: number;
  readonly items: readonly Pick<CiphertextItem, 'fheType' | 'format'>[];
  readonly open: OpenDecryption;
  /** A party whose share is wrong; once a party. */
  readonly onLiar: (party: number) => void;
  /** It is open, and keeps so many bytes of shares as long as it is there. */
  readonly onOpened: (keptBytes: number) => void;
  /** Whether a late share may be looked at now. */
  readonly lateTurn: () => boolean;
}

/** What became of a share. */
export type Taken = 'taken' | 'repeated' | 'revised' | 'not needed';

/** Collects one request's shares. */
export class ShareCollector {
  readonly #options: CollectorOptions;
  readonly #opened = Promise.withResolvers<Uint8Array[]>();
  readonly #plaintexts: (Uint8Array | undefined)[];
  readonly #heard = new Map<number, Uint8Array>();
  readonly #liars = new Set<number>();
  readonly #lookedAt = new Set<number>();
  #sizes: readonly number[] | undefined;
  #attempts = 0;
  #tried = 0;
  #busy = false;
  #ended = false;

  /** The plaintexts, in the order of the items. Rejects when nothing can come of it any more. */
  readonly opened: Promise<Uint8Array[]> = this.#opened.promise;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#plaintexts = options.items.map(() => undefined);
    this.opened.catch(() => undefined); // told to whoever waits
  }

  /** Whether it is over, one way or the other. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Parties whose shares are here. */
  get heard(): ReadonlySet<number> {
    return new Set(this.#heard.keys());
  }

  /** Takes this party's own shares, of each item one. Nothing is opened before. */
  begin(shares: readonly Uint8Array[]): void {
    if (this.#ended) return;
    this.#sizes = shares.map(({ byteLength }) => byteLength);
    this.#heard.set(this.#options.me, shares.length === 1 && shares[0] ? shares[0] : Buffer.concat(shares));
    this.#try();
  }

  /** Takes a copy of a peer's shares of all items. */
  add(from: number, shares: Uint8Array): Taken {
    const known = this.#heard.get(from);
    if (known) return equalBytes(known, shares) ? 'repeated' : 'revised';
    if (this.#ended) {
      if (this.#heard.size > 0) this.#lookAt(from, Uint8Array.from(shares));
      return 'not needed';
    }
    this.#heard.set(from, Uint8Array.from(shares));
    this.#try();
    return 'taken';
  }

  /** Gives up. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#heard.clear();
    this.#opened.reject(error);
  }

  #try(): void {
    const sizes = this.#sizes;
    if (this.#ended || this.#busy || !sizes) return;
    const total = sumOf(sizes);
    const whole = [...this.#heard].filter(([, { byteLength }]) => byteLength === total);
    for (const [party, { byteLength }] of this.#heard) if (byteLength !== total) this.#blame(party);
    const { n, t } = this.#options;
    if (whole.length > this.#tried && whole.length >= 2 * t + 1 + this.#attempts) {
      this.#attempts += 1;
      this.#tried = whole.length;
      this.#busy = true;
      void this.#attempt(new Map(whole), sizes);
    } else if (this.#heard.size === n) {
      const facts = { wrong: this.#heard.size - whole.length, shares: whole.length, needed: 2 * t + 1 };
      this.fail(new KmsError('TASK_FAILED', `shares of all ${n} parties do not open: more than t are wrong`, facts));
    }
  }

  async #attempt(contributions: ReadonlyMap<number, Uint8Array>, sizes: readonly number[]): Promise<void> {
    const { items } = this.#options;
    try {
      await this.#openEach(contributions, sizes, (index, plaintext) => {
        this.#plaintexts[index] ??= plaintext;
      });
    } catch (error) {
      this.fail(error);
      return;
    }
    this.#busy = false;
    if (this.#ended) return;
    const plaintexts = this.#plaintexts.filter((plaintext) => plaintext !== undefined);
    if (plaintexts.length < items.length) {
      this.#try();
      return;
    }
    this.#ended = true;
    const late = [...this.#heard].filter(([party]) => !contributions.has(party));
    for (const [party] of late) this.#heard.delete(party);
    this.#options.onOpened(sumOf(sizes) * contributions.size);
    this.#opened.resolve(plaintexts);
    for (const [party, shares] of late) this.#lookAt(party, shares);
  }

  /** Opens again with one more share, for nothing but to see whether it is wrong. Each party's first one, if any. */
  #lookAt(from: number, shares: Uint8Array): void {
    if (this.#lookedAt.has(from) || !this.#options.lateTurn()) return;
    this.#lookedAt.add(from);
    const sizes = this.#sizes ?? [];
    if (shares.byteLength !== sumOf(sizes)) this.#blame(from);
    else this.#openEach(new Map(this.#heard).set(from, shares), sizes, () => undefined).catch(isOver);
  }

  /** Tries to open each item that is not open yet, or all of an opened request; names who is found wrong. */
  async #openEach(
    contributions: ReadonlyMap<number, Uint8Array>,
    sizes: readonly number[],
    onOpened: (index: number, plaintext: Uint8Array) => void,
  ): Promise<void> {
    const { n, t, items, open } = this.#options;
    const isLook = this.#ended;
    let at = 0;
    const tries = items.map(async ({ fheType, format }, index) => {
      const [from, to] = [at, at + (sizes[index] ?? 0)];
      at = to;
      if (this.#plaintexts[index] && !isLook) return;
      const cut = new Map([...contributions].map(([party, shares]) => [party, shares.subarray(from, to)]));
      const found = await open({ n, t, fheType, format, contributions: cut });
      if (!found) return;
      onOpened(index, found.plaintext);
      for (const party of found.liars) this.#blame(party);
    });
    for (const result of await Promise.allSettled(tries)) if (result.status === 'rejected') throw result.reason;
  }

  #blame(party: number): void {
    if (this.#liars.has(party)) return;
    this.#liars.add(party);
    this.#options.onLiar(party);
  }
}

/** The request is open: that it does not open once more with a share that nobody needs fails nothing. */
function isOver(error: unknown): void {
  if (!isKmsError(error)) throw error;
}

function sumOf(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}
