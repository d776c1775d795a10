/**
 * Threshold decryption: masks, partial decryption for peers and users, opening.
 *
 * Secret face. A mask exists only inside one native call, keyed by a digest of the very numbers it hides; no function
 * here takes a mask and a ciphertext apart. Spec: threshold-protocols §3, of which §3.5 overrules the rest.
 */
import { availableParallelism } from 'node:os';
import { inspect } from 'node:util';
import type { EvaluationKeySource } from './evaluation.ts';
import type { CiphertextItem, Recipient } from './fhe.ts';
import { Gathering } from './gathering.ts';
import { type KeyShares, type RawKeyShares, rawKeyShares } from './key-shares.ts';
import { lending } from './lent-buffers.ts';
import { attempt, attemptAsync, native, nativeError } from './load.ts';
import { type NodeKey, type RawNodeKey, rawNodeKey } from './node-key.ts';

interface RawHandle {
  dispose(): void;
}

interface RawInput {
  readonly shares: RawKeyShares;
  readonly masks: RawHandle;
  readonly squash?: RawHandle;
  readonly contextId: Uint8Array;
  readonly epochId: Uint8Array;
  readonly keyId: Uint8Array;
  readonly items: readonly CiphertextItem[];
  readonly seal?: { readonly nodeKey: RawNodeKey; readonly recipient: Recipient };
}

interface MpcBinding {
  readonly NativeMaskKeys: {
    fromKeys(n: number, t: number, party: number, keys: readonly Uint8Array[]): RawHandle;
  };
  maskSets(n: number, t: number): number[][];
  loadSquashKeys(path: string, publicKeyPath?: string): Promise<RawHandle>;
  partialDecryptions(requests: readonly RawInput[]): Promise<(Uint8Array[] | string)[]>;
  partialDecryptionSync(request: RawInput): Uint8Array[];
  zeroShares(input: RawInput): Promise<Uint8Array>;
  openZeros(n: number, t: number, parties: readonly number[], contributions: readonly Uint8Array[]): number[] | null;
  openDecryption(...options: OpenOptions): Promise<OpenedDecryption | null>;
  openDecryptionSync(...options: OpenOptions): OpenedDecryption | null;
}

type OpenOptions = [
  n: number,
  t: number,
  fheType: number,
  format: number,
  parties: readonly number[],
  contributions: readonly Uint8Array[],
];

/**
 * Works of so few bytes and sets of masks take less than the way to the thread pool and back costs; they are done at
 * once. At production size nothing but openings is so small.
 */
const SMALL_CIPHERTEXTS_BYTES = 16_384;
const SMALL_QUORUM = 7;
const SMALL_SHARES_BYTES = 1024;
const FIRST_SQUASHED_FORMAT = 2;

/** Requests are gathered up to this number: some milliseconds of work at the most, since each is bounded itself. */
const MOST_GATHERED = 4;

function isSmall({ shares, items }: Pick<PartialInput, 'shares' | 'items'>): boolean {
  const bytes = items.reduce((sum, { ciphertext }) => sum + ciphertext.byteLength, 0);
  const isSquashed = items.every(({ format }) => format >= FIRST_SQUASHED_FORMAT);
  return isSquashed && bytes <= SMALL_CIPHERTEXTS_BYTES && shares.n <= SMALL_QUORUM;
}

const lib = native<MpcBinding>([
  'NativeMaskKeys',
  'maskSets',
  'loadSquashKeys',
  'partialDecryptions',
  'partialDecryptionSync',
  'zeroShares',
  'openZeros',
  'openDecryption',
  'openDecryptionSync',
]);

let rawMasks: (keys: MaskKeys) => RawHandle;
let rawSquash: (keys: SquashKeys) => RawHandle;

/**
 * Returns the sets of a set-up: the (n - t)-subsets of the parties 1 to n, in lexicographic order.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` unless 3t < n ≤ 15.
 */
export function setsOf(n: number, t: number): number[][] {
  return attempt(() => lib.maskSets(n, t));
}

/** One party's mask keys r_A of an epoch. Nothing of them can be read; disposing of them wipes them. */
export class MaskKeys {
  readonly #raw: RawHandle;

  static {
    rawMasks = (keys) => keys.#raw;
  }

  private constructor(raw: RawHandle) {
    this.#raw = raw;
  }

  /**
   * Takes the keys of the sets that hold `party`, 32 bytes each, sets in the order of {@link setsOf}. The caller wipes
   * the given bytes.
   */
  static fromKeys(options: {
    readonly n: number;
    readonly t: number;
    readonly party: number;
    readonly keys: readonly Uint8Array[];
  }): MaskKeys {
    const { n, t, party, keys } = options;
    return new MaskKeys(attempt(() => lib.NativeMaskKeys.fromKeys(n, t, party, keys)));
  }

  /** Forgets and wipes the keys. Repeating it does nothing. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toJSON(): string {
    return '[MaskKeys]';
  }

  [inspect.custom](): string {
    return '[MaskKeys]';
  }
}

/** What squashing of small ciphertexts needs of a public key set. Public, and large: load once, share, dispose of. */
export class SquashKeys {
  readonly #raw: RawHandle;

  static {
    rawSquash = (keys) => keys.#raw;
  }

  /** Wraps a native handle; keys come from {@link loadSquashKeys}. */
  constructor(raw: RawHandle) {
    this.#raw = raw;
  }

  /** Frees the memory. Repeating it does nothing. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Loads squashing keys from the file of a key set, or from those of a server key and its public key. */
export async function loadSquashKeys(source: EvaluationKeySource): Promise<SquashKeys> {
  const raw = await attemptAsync(() =>
    'compressedXofKeySetPath' in source
      ? lib.loadSquashKeys(source.compressedXofKeySetPath)
      : lib.loadSquashKeys(source.serverKeyPath, source.publicKeyPath),
  );
  return new SquashKeys(raw);
}

/** What a party decrypts, with what, and the names that its masks are bound to. */
export interface PartialInput {
  readonly shares: KeyShares;
  /** Of the same n, t and party as the shares. */
  readonly masks: MaskKeys;
  /** Needed for the formats 0 and 1 (small ciphertexts). */
  readonly squash?: SquashKeys;
  /** 32 bytes. */
  readonly contextId: Uint8Array;
  /** 32 bytes. */
  readonly epochId: Uint8Array;
  /** 32 bytes. */
  readonly keyId: Uint8Array;
  readonly items: readonly CiphertextItem[];
}

function rawInput(input: PartialInput): RawInput {
  const { shares, masks, squash, contextId, epochId, keyId, items } = input;
  const raw = { shares: rawKeyShares(shares), masks: rawMasks(masks), contextId, epochId, keyId, items };
  return squash ? { ...raw, squash: rawSquash(squash) } : raw;
}

const gathered = new Gathering<RawInput, Uint8Array[]>({
  atATime: availableParallelism(),
  most: MOST_GATHERED,
  run: async (requests) => {
    const outcomes = await lib.partialDecryptions(requests);
    return outcomes.map((outcome) =>
      typeof outcome === 'string' ? { error: nativeError(outcome) } : { result: outcome },
    );
  },
});

/** Does one request, on the pool if it is large. */
async function partialDecryption(input: PartialInput, seal?: RawInput['seal']): Promise<Uint8Array[]> {
  const raw = (): RawInput => (seal ? { ...rawInput(input), seal } : rawInput(input));
  if (isSmall(input)) return attempt(() => lib.partialDecryptionSync(raw()));
  const ciphertexts = input.items.map(({ ciphertext }) => ciphertext);
  return await lending(ciphertexts, () => gathered.add(raw()));
}

/**
 * Makes this party's masked shares of ciphertexts, for the other parties, on the native thread pool if they are large.
 *
 * Deterministic: the same shares, names and ciphertext give the same bytes, so a peer that missed them may ask again.
 * Incomplete last groups are filled with mask-only blocks.
 *
 * @returns For each ciphertext ⌈blocks / 4⌉ elements of 64 bytes.
 * @throws {@link KmsError} `CIPHERTEXT_INVALID` as {@link publicDecrypt}; `PRECONDITION_FAILED` for a small ciphertext
 * without squashing keys; `REQUEST_INVALID` if shares and masks are of different parties or thresholds.
 */
export function partialDecrypt(input: PartialInput): Promise<Uint8Array[]> {
  return partialDecryption(input);
}

/**
 * {@link partialDecrypt} for one user: each share is signed and encrypted (kms-service §5.3, §5.4, §5.6) and never
 * leaves native memory in clear.
 *
 * @throws {@link KmsError} as {@link partialDecrypt}; `KEY_INVALID` for an `encKey` that is not canonical.
 */
export async function userShares(
  input: PartialInput & Recipient & { readonly nodeKey: NodeKey },
): Promise<Uint8Array[]> {
  const { nodeKey, encKey, clientAddress, link } = input;
  return await partialDecryption(input, { nodeKey: rawNodeKey(nodeKey), recipient: { encKey, clientAddress, link } });
}

/**
 * Makes this party's masked shares of the encryptions of zero that came with its key shares: one for each key that
 * squashed ciphertexts are under, unpacked, 64 bytes each. Opened once after a key set is loaded or an epoch made, they
 * show what no packed opening can: that all parties share bits, and mask with the same keys. Always the same bytes.
 */
export function zeroShares(input: Omit<PartialInput, 'items' | 'squash'>): Promise<Uint8Array> {
  return attemptAsync(() => lib.zeroShares(rawInput({ ...input, items: [] })));
}

/**
 * Opens what the parties' {@link zeroShares} gave.
 *
 * @returns Parties that sent something else than their share, in order; undefined while more contributions are needed.
 * @throws {@link KmsError} `ABORTED` ("inconsistent epoch") unless all of it is zero, masked.
 */
export function openZeros(options: {
  readonly n: number;
  readonly t: number;
  readonly contributions: ReadonlyMap<number, Uint8Array>;
}): readonly number[] | undefined {
  const { n, t, contributions } = options;
  return attempt(() => lib.openZeros(n, t, [...contributions.keys()], [...contributions.values()])) ?? undefined;
}

/** What {@link openDecryption} gives. */
export interface OpenedDecryption {
  /** Little endian, exactly the width of the type, in a buffer of its own. */
  readonly plaintext: Uint8Array;
  /** Parties that sent something else than their share, in order. */
  readonly liars: readonly number[];
}

/**
 * Opens a public decryption from the parties' masked shares of one ciphertext, on the native thread pool if it is large.
 *
 * A value counts if 2t + 1 contributions agree on it, so up to t wrong ones change nothing and are named.
 *
 * @returns undefined while more contributions are needed; with all n there, more than t of them lie.
 * @throws {@link KmsError} `ABORTED` ("inconsistent epoch") if what opens is no masked block: nothing is published.
 */
export async function openDecryption(options: {
  readonly n: number;
  readonly t: number;
  readonly fheType: number;
  readonly format: number;
  readonly contributions: ReadonlyMap<number, Uint8Array>;
}): Promise<OpenedDecryption | undefined> {
  const { n, t, fheType, format, contributions } = options;
  const shares = [...contributions.values()];
  const open: OpenOptions = [n, t, fheType, format, [...contributions.keys()], shares];
  const opened = shares.every(({ byteLength }) => byteLength <= SMALL_SHARES_BYTES)
    ? attempt(() => lib.openDecryptionSync(...open))
    : await lending(shares, () => attemptAsync(() => lib.openDecryption(...open)));
  return opened ?? undefined;
}
