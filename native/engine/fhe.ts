/**
 * Whole FHE keys: generation, storage form, decryption.
 *
 * Secret face. Key bits stay in native memory behind {@link FheKey}; plaintexts of public decryptions come out in
 * buffers of their own. Formats: docs/formats/private-objects.md; ciphertexts: kms-service §3.5.
 */
import { inspect } from 'node:util';
import { lending } from './lent-buffers.ts';
import { attempt, attemptAsync, native } from './load.ts';
import { NativeBytes, type RawBytes } from './native-bytes.ts';
import { type NodeKey, type RawNodeKey, rawNodeKey } from './node-key.ts';

/** A parameter set: `test` is tiny and insecure, `default` is production. */
export type ParamsName = 'test' | 'default';

/** How the server-side key is published: one seeded key set, or one expanded server key. */
export type KeyLayout = 'compressed' | 'uncompressed';

/** Public objects of a key generation, named as kms-service §6.1 names them. */
export type KeyObjectType = 'PublicKey' | 'ServerKey' | 'CompressedXofKeySet';

/** One ciphertext of a request. The bytes are borrowed: leave them alone until the promise settles. */
export interface CiphertextItem {
  readonly ciphertext: Uint8Array;
  /** Type number, 0 (Bool) to 11 (Uint2048). */
  readonly fheType: number;
  /** 0 SmallCompressed, 1 SmallExpanded, 2 BigCompressed, 3 BigExpanded. */
  readonly format: number;
}

/**
 * Where a key comes from; stored with it. `developer`: made whole by a node in developer mode (production refuses it);
 * `whole`: made whole by a centralized node; `imported`: brought from another system.
 */
export type Provenance = 'developer' | 'whole' | 'imported';

/** Who a user decryption is for. */
export interface Recipient {
  /** `enc_key` of the request: 869 bytes, ML-KEM-512. */
  readonly encKey: Uint8Array;
  /** 20 bytes. */
  readonly clientAddress: Uint8Array;
  /** The link of the request, 32 bytes (kms-service §5.2). */
  readonly link: Uint8Array;
}

/** The native handle of an {@link FheKey}; for this folder only. */
export interface RawKey {
  readonly params: ParamsName;
  readonly tag: Uint8Array;
  readonly provenance: Provenance;
  readonly metadata: Uint8Array;
  encode(metadata: Uint8Array): Uint8Array;
  dispose(): void;
}

interface RawKeySet {
  readonly key: RawKey;
  readonly objects: readonly { readonly kind: KeyObjectType; readonly bytes: RawBytes }[];
}

interface FheBinding {
  generateKeySet(
    params: string,
    tag: Uint8Array,
    layout: string,
    provenance: string,
    existing?: RawKey,
  ): Promise<RawKeySet>;
  decodeFheKey(bytes: Uint8Array): RawKey;
  generateDecompressionKey(from: RawKey, to: RawKey): Promise<RawBytes>;
  generateCrs(params: string, maxNumBits: number, seed?: Uint8Array): Promise<RawBytes>;
  publicDecrypt(key: RawKey, items: readonly CiphertextItem[]): Promise<Uint8Array[]>;
  publicDecryptSync(key: RawKey, items: readonly CiphertextItem[]): Uint8Array[];
  userDecrypt(
    key: RawKey,
    nodeKey: RawNodeKey,
    items: readonly CiphertextItem[],
    recipient: Recipient,
  ): Promise<Uint8Array[]>;
  userDecryptSync(
    key: RawKey,
    nodeKey: RawNodeKey,
    items: readonly CiphertextItem[],
    recipient: Recipient,
  ): Uint8Array[];
}

const lib = native<FheBinding>([
  'generateKeySet',
  'decodeFheKey',
  'generateDecompressionKey',
  'generateCrs',
  'publicDecrypt',
  'publicDecryptSync',
  'userDecrypt',
  'userDecryptSync',
]);

let rawOf: (key: FheKey) => RawKey;

/** A whole FHE secret key. Its bits are wiped when it is disposed of and no decryption uses it any more. */
export class FheKey {
  readonly #raw: RawKey;

  static {
    rawOf = (key) => key.#raw;
  }

  /** Wraps a native handle; keys come from {@link generateKeySet} and {@link FheKey.fromBytes}. */
  constructor(raw: RawKey) {
    this.#raw = raw;
  }

  /**
   * Reads the stored form of a key (docs/formats/private-objects.md). The caller wipes `bytes`.
   *
   * @throws {@link KmsError} `KEY_INVALID` saying what is wrong.
   */
  static fromBytes(bytes: Uint8Array): FheKey {
    return new FheKey(attempt(() => lib.decodeFheKey(bytes)));
  }

  /**
   * Writes the stored form: the whole secret, with opaque metadata of up to 1 MiB beside it.
   *
   * @returns Bytes in an ArrayBuffer of their own; the caller wipes them.
   */
  encode(metadata: Uint8Array): Uint8Array {
    return attempt(() => this.#raw.encode(metadata));
  }

  /** The parameter set. */
  get params(): ParamsName {
    return attempt(() => this.#raw.params);
  }

  /** The tag that all public objects of the key bear: the 32-byte id of the key. */
  get tag(): Uint8Array {
    return attempt(() => this.#raw.tag);
  }

  /** Where the key comes from. */
  get provenance(): Provenance {
    return attempt(() => this.#raw.provenance);
  }

  /** The metadata it was stored with; empty for a key just made. */
  get metadata(): Uint8Array {
    return attempt(() => this.#raw.metadata);
  }

  /** Forgets and wipes the key. Repeating it does nothing. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toJSON(): string {
    return '[FheKey]';
  }

  [inspect.custom](): string {
    return '[FheKey]';
  }
}

/** Returns the native handle behind a key, for this folder's other native calls. */
export function rawFheKey(key: FheKey): RawKey {
  return rawOf(key);
}

/** What {@link generateKeySet} gives. The caller disposes of everything in it. */
export interface KeySet {
  readonly key: FheKey;
  readonly objects: readonly { readonly type: KeyObjectType; readonly bytes: NativeBytes }[];
}

/**
 * Makes a key set, or new public objects for an existing secret key.
 *
 * One call of a minute at production size, without hooks: it cannot be stopped, so a caller that gives up disposes of
 * the result when it comes. A second generation meanwhile is refused.
 *
 * @param options - `tag` is the 32-byte key id; `provenance` is `developer` unless said otherwise.
 * @throws {@link KmsError} `PRECONDITION_FAILED` while another generation runs.
 */
export async function generateKeySet(options: {
  readonly params: ParamsName;
  readonly tag: Uint8Array;
  readonly layout: KeyLayout;
  readonly provenance?: Provenance;
  readonly existing?: FheKey;
}): Promise<KeySet> {
  const { params, tag, layout, existing, provenance = 'developer' } = options;
  const made = await attemptAsync(() =>
    existing
      ? lib.generateKeySet(params, tag, layout, provenance, rawOf(existing))
      : lib.generateKeySet(params, tag, layout, provenance),
  );
  return {
    key: new FheKey(made.key),
    objects: made.objects.map(({ kind, bytes }) => ({ type: kind, bytes: new NativeBytes(bytes) })),
  };
}

/** Makes the key that opens lists compressed under `from` to ciphertexts under `to`. */
export async function generateDecompressionKey(options: {
  readonly from: FheKey;
  readonly to: FheKey;
}): Promise<NativeBytes> {
  return new NativeBytes(
    await attemptAsync(() => lib.generateDecompressionKey(rawOf(options.from), rawOf(options.to))),
  );
}

/** Bits that one slot of a packed list holds: two blocks of two bits, in both parameter sets. */
const CRS_SLOT_BITS = 4;

/**
 * Makes a CRS for proofs over at least `maxNumBits` encrypted bits.
 *
 * @param options - `seed`, 32 bytes, determines the CRS, byte for byte in every process, and its trapdoor: developer mode
 * only, and wiped by the caller. Without it the trapdoor is known to nobody.
 * @returns The CRS and what it can really do: its slots are whole, so 1 bit asked for gives 4.
 */
export async function generateCrs(options: {
  readonly params: ParamsName;
  readonly maxNumBits: number;
  readonly seed?: Uint8Array;
}): Promise<{ readonly bytes: NativeBytes; readonly maxNumBits: number }> {
  const { params, maxNumBits, seed } = options;
  const made = await attemptAsync(() =>
    seed ? lib.generateCrs(params, maxNumBits, seed) : lib.generateCrs(params, maxNumBits),
  );
  const bytes = new NativeBytes(made);
  return { bytes, maxNumBits: Math.ceil(maxNumBits / CRS_SLOT_BITS) * CRS_SLOT_BITS };
}

function ciphertextsOf(items: readonly CiphertextItem[]): Uint8Array[] {
  return items.map(({ ciphertext }) => ciphertext);
}

/**
 * Decrypts on the native thread pool, in the order given.
 *
 * @returns Plaintexts, little endian, of exactly the width of their type.
 * @throws {@link KmsError} `CIPHERTEXT_INVALID` for bytes that are not one well-formed ciphertext of the stated type
 * and format under the key's parameters, `REQUEST_INVALID` for a type or format that does not exist.
 */
export function publicDecrypt(key: FheKey, items: readonly CiphertextItem[]): Promise<Uint8Array[]> {
  return lending(ciphertextsOf(items), () => attemptAsync(() => lib.publicDecrypt(rawOf(key), items)));
}

/** {@link publicDecrypt} on the calling thread: for a single small ciphertext the way to the pool costs as much. */
export function publicDecryptSync(key: FheKey, items: readonly CiphertextItem[]): Uint8Array[] {
  return attempt(() => lib.publicDecryptSync(rawOf(key), items));
}

/**
 * Decrypts for one user on the native thread pool, in the order given. Plaintexts never leave native memory.
 *
 * @returns Signed and encrypted bytes (kms-service §5.3, §5.4), one per ciphertext.
 * @throws {@link KmsError} as {@link publicDecrypt}; `KEY_INVALID` for an `encKey` that is not canonical.
 */
export function userDecrypt(
  key: FheKey,
  nodeKey: NodeKey,
  items: readonly CiphertextItem[],
  recipient: Recipient,
): Promise<Uint8Array[]> {
  const work = (): Promise<Uint8Array[]> => lib.userDecrypt(rawOf(key), rawNodeKey(nodeKey), items, recipient);
  return lending(ciphertextsOf(items), () => attemptAsync(work));
}

/** {@link userDecrypt} on the calling thread. */
export function userDecryptSync(
  key: FheKey,
  nodeKey: NodeKey,
  items: readonly CiphertextItem[],
  recipient: Recipient,
): Uint8Array[] {
  return attempt(() => lib.userDecryptSync(rawOf(key), rawNodeKey(nodeKey), items, recipient));
}
