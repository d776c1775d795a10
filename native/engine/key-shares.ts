/**
 * One party's shares of the secret keys of a key set: storage form, dealt key sets, splitting of a whole key.
 *
 * Secret face. Shares stay in native memory behind {@link KeyShares}. Format: docs/formats/private-objects.md.
 */
import { inspect } from 'node:util';
import { type FheKey, type KeyLayout, type KeyObjectType, type ParamsName, type RawKey, rawFheKey } from './fhe.ts';
import { attempt, attemptAsync, native } from './load.ts';
import { NativeBytes, type RawBytes } from './native-bytes.ts';

/**
 * Where shares come from; stored with them. `distributed`: made by the parties together; `dealt`: by a dealer;
 * `imported`: split from a whole key of another system, or taken over from its vaults; `developer`: dealt from a common seed in developer mode.
 * Production refuses `dealt` and `developer`.
 */
export type ShareProvenance = 'distributed' | 'dealt' | 'imported' | 'developer';

/** The native handle of {@link KeyShares}; for this folder only. */
export interface RawKeyShares {
  readonly params: ParamsName;
  readonly n: number;
  readonly t: number;
  readonly party: number;
  readonly provenance: ShareProvenance;
  readonly hasZeros: boolean;
  readonly sharingId: Uint8Array;
  readonly tag: Uint8Array;
  readonly metadata: Uint8Array;
  encode(metadata: Uint8Array): Uint8Array;
  dispose(): void;
}

interface SharesBinding {
  readonly NativeKeyShares: { fromBytes(bytes: Uint8Array): RawKeyShares };
  splitKey(key: RawKey, n: number, t: number, provenance: string): RawKeyShares[];
  dealKeySet(options: object): Promise<{
    readonly shares: RawKeyShares;
    readonly objects: readonly { readonly kind: KeyObjectType; readonly bytes: RawBytes }[];
  }>;
}

const lib = native<SharesBinding>(['NativeKeyShares', 'splitKey', 'dealKeySet']);

let rawOf: (shares: KeyShares) => RawKeyShares;
let wrap: (raw: RawKeyShares) => KeyShares;

/**
 * One party's shares in GR(2^128, 4) of all secret keys of a key set: public encryption, compute, GLWE, compression,
 * squashing, squashed compression, OPRF. Reducing a share gives the one in GR(2^64, 4).
 */
export class KeyShares {
  readonly #raw: RawKeyShares;

  static {
    rawOf = (shares) => shares.#raw;
    wrap = (raw) => new KeyShares(raw);
  }

  private constructor(raw: RawKeyShares) {
    this.#raw = raw;
  }

  /**
   * Reads the stored form. The caller wipes `bytes`.
   *
   * @throws {@link KmsError} `KEY_INVALID` saying what is wrong.
   */
  static fromBytes(bytes: Uint8Array): KeyShares {
    return wrap(attempt(() => lib.NativeKeyShares.fromBytes(bytes)));
  }

  /**
   * Writes the stored form, with opaque metadata of up to 1 MiB beside the shares.
   *
   * @returns Bytes in an ArrayBuffer of their own; the caller wipes them.
   */
  encode(metadata: Uint8Array = new Uint8Array()): Uint8Array {
    return attempt(() => this.#raw.encode(metadata));
  }

  /** The parameter set. */
  get params(): ParamsName {
    return attempt(() => this.#raw.params);
  }

  /** Number of parties of the sharing. */
  get n(): number {
    return attempt(() => this.#raw.n);
  }

  /** Threshold of the sharing. */
  get t(): number {
    return attempt(() => this.#raw.t);
  }

  /** Whose shares these are, from 1. */
  get party(): number {
    return attempt(() => this.#raw.party);
  }

  /** Digest of the ceremony that made the shares, 32 bytes, the same at all parties. */
  get sharingId(): Uint8Array {
    return attempt(() => this.#raw.sharingId);
  }

  /** Where the shares come from. */
  get provenance(): ShareProvenance {
    return attempt(() => this.#raw.provenance);
  }

  /** Whether encryptions of zero came with the shares, by which parties check them: none do with those of another system. */
  get hasZeros(): boolean {
    return attempt(() => this.#raw.hasZeros);
  }

  /** The tag that all public objects of the key set bear. */
  get tag(): Uint8Array {
    return attempt(() => this.#raw.tag);
  }

  /** The metadata they were stored with; empty for shares just made. */
  get metadata(): Uint8Array {
    return attempt(() => this.#raw.metadata);
  }

  /** Forgets and wipes the shares. Repeating it does nothing. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toJSON(): string {
    return '[KeyShares]';
  }

  [inspect.custom](): string {
    return '[KeyShares]';
  }
}

/** Returns the native handle behind shares, for this folder's other native calls. */
export function rawKeyShares(shares: KeyShares): RawKeyShares {
  return rawOf(shares);
}

/** Splits a whole key for all parties, index i for party i + 1: a dealer's work, for imports and tests. */
export function splitKey(options: {
  readonly key: FheKey;
  readonly n: number;
  readonly t: number;
  readonly provenance: ShareProvenance;
}): KeyShares[] {
  const { key, n, t, provenance } = options;
  return attempt(() => lib.splitKey(rawFheKey(key), n, t, provenance)).map(wrap);
}

/** What {@link dealKeySet} gives. The caller disposes of everything in it. */
export interface DealtKeySet {
  readonly shares: KeyShares;
  readonly objects: readonly { readonly type: KeyObjectType; readonly bytes: NativeBytes }[];
}

/**
 * Derives a key set from a common seed and keeps one party's shares of it. Developer mode only: whoever knows the seed
 * knows the key. The same options give the same bytes in every process, the public objects at all parties.
 *
 * @param options - `seed` is 32 bytes, which the caller wipes; `tag` is the 32-byte key id.
 * @throws {@link KmsError} `PRECONDITION_FAILED` while another generation runs in this process.
 */
export async function dealKeySet(options: {
  readonly params: ParamsName;
  readonly seed: Uint8Array;
  readonly tag: Uint8Array;
  readonly layout: KeyLayout;
  readonly n: number;
  readonly t: number;
  readonly party: number;
  readonly provenance: ShareProvenance;
}): Promise<DealtKeySet> {
  const { shares, objects } = await attemptAsync(() => lib.dealKeySet(options));
  return {
    shares: wrap(shares),
    objects: objects.map(({ kind, bytes }) => ({ type: kind, bytes: new NativeBytes(bytes) })),
  };
}
