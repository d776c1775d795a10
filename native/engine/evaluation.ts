/**
 * Evaluation keys: encryption as clients and the coprocessor do it. Public face: nothing here knows a secret key.
 */
import { readFile } from 'node:fs/promises';
import { KmsError } from '../../common/errors.ts';
import { attempt, attemptAsync, native } from './load.ts';

interface RawCrs {
  dispose(): void;
}

interface RawEvaluationKeys {
  encrypt(value: Uint8Array, fheType: number, format: number): Promise<Uint8Array>;
  verifyAndExpand(crs: RawCrs, list: Uint8Array, metadata: Uint8Array): Promise<ExpandedInput[]>;
  dispose(): void;
}

interface EvaluationBinding {
  loadKeySet(path: string): Promise<RawEvaluationKeys>;
  loadServerKey(serverKeyPath: string, publicKeyPath: string): Promise<RawEvaluationKeys>;
  loadCrs(path: string): Promise<RawCrs>;
  proveInput(
    publicKey: Uint8Array,
    crs: RawCrs,
    values: readonly { readonly value: Uint8Array; readonly fheType: number }[],
    metadata: Uint8Array,
  ): Promise<Uint8Array>;
}

const lib = native<EvaluationBinding>(['loadKeySet', 'loadServerKey', 'loadCrs', 'proveInput']);

let rawCrs: (crs: Crs) => RawCrs;
let rawKeys: (keys: EvaluationKeys) => RawEvaluationKeys;

/** Bits of the FHE types 0 (Bool) to 11 (Uint2048), by type number. */
const TYPE_BITS = [1, 4, 8, 16, 32, 64, 128, 160, 256, 512, 1024, 2048] as const;

/** Where evaluation keys are read from. */
export type EvaluationKeySource =
  | { readonly compressedXofKeySetPath: string }
  | { readonly serverKeyPath: string; readonly publicKeyPath: string };

/**
 * Writes a plaintext as little-endian bytes of its type's width.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if the type does not exist or the value does not fit.
 */
export function plaintextBytes(value: bigint, fheType: number): Uint8Array {
  const bits = TYPE_BITS[fheType];
  if (bits === undefined) throw new KmsError('REQUEST_INVALID', 'FHE types are 0 (Bool) to 11 (Uint2048)', { fheType });
  if (value < 0n || value >> BigInt(bits) !== 0n) {
    throw new KmsError('REQUEST_INVALID', `a value of FHE type ${fheType} has ${bits} bits and no sign`);
  }
  const bytes = new Uint8Array(Math.ceil(bits / 8));
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number((value >> BigInt(8 * at)) & 0xffn);
  return bytes;
}

/** Public key and server key of one key set. At production size they take gigabytes: dispose of them. */
export class EvaluationKeys {
  readonly #raw: RawEvaluationKeys;

  static {
    rawKeys = (keys) => keys.#raw;
  }

  /** Wraps a native handle; keys come from {@link loadEvaluationKeys}. */
  constructor(raw: RawEvaluationKeys) {
    this.#raw = raw;
  }

  /**
   * Encrypts under the public key and brings the ciphertext into `format` (0 SmallCompressed, 1 SmallExpanded,
   * 2 BigCompressed, 3 BigExpanded) with the server key, as the coprocessor does.
   *
   * @throws {@link KmsError} `REQUEST_INVALID` for a value that does not fit its type.
   */
  async encrypt(value: bigint, fheType: number, format: number): Promise<Uint8Array> {
    const bytes = plaintextBytes(value, fheType);
    return await attemptAsync(() => this.#raw.encrypt(bytes, fheType, format));
  }

  /** Frees the keys. Repeating it does nothing. */
  dispose(): void {
    attempt(() => this.#raw.dispose());
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Reads evaluation keys from files and prepares them: 15 s and some gigabytes at production size.
 *
 * @throws {@link KmsError} `NOT_FOUND` for a missing file, `KEY_INVALID` for one that holds something else.
 */
export async function loadEvaluationKeys(source: EvaluationKeySource): Promise<EvaluationKeys> {
  return new EvaluationKeys(
    await attemptAsync(() =>
      'compressedXofKeySetPath' in source
        ? lib.loadKeySet(source.compressedXofKeySetPath)
        : lib.loadServerKey(source.serverKeyPath, source.publicKeyPath),
    ),
  );
}

/** A common reference string for input proofs. */
export class Crs {
  readonly #raw: RawCrs;

  static {
    rawCrs = (crs) => crs.#raw;
  }

  /** Wraps a native handle; CRSs come from {@link loadCrs}. */
  constructor(raw: RawCrs) {
    this.#raw = raw;
  }

  /** Frees it. Repeating it does nothing. */
  dispose(): void {
    attempt(() => this.#raw.dispose());
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** One element of a verified input list, as a `SmallExpanded` ciphertext. */
export interface ExpandedInput {
  readonly fheType: number;
  readonly ciphertext: Uint8Array;
}

/**
 * Reads a CRS file.
 *
 * @throws {@link KmsError} `NOT_FOUND` for a missing file, `KEY_INVALID` for one that holds something else.
 */
export async function loadCrs(path: string): Promise<Crs> {
  return new Crs(await attemptAsync(() => lib.loadCrs(path)));
}

/**
 * Encrypts values into one compact list with a proof bound to `metadata`, as a user's SDK does. About 1 s.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for values that do not fit their types or the CRS.
 */
export async function proveInput(input: {
  readonly publicKey: { readonly path: string } | { readonly bytes: Uint8Array };
  readonly crs: Crs;
  readonly values: readonly { readonly fheType: number; readonly value: bigint }[];
  readonly metadata: Uint8Array;
}): Promise<Uint8Array> {
  const { publicKey, crs, metadata } = input;
  const values = input.values.map(({ fheType, value }) => ({ fheType, value: plaintextBytes(value, fheType) }));
  const bytes = 'bytes' in publicKey ? publicKey.bytes : await readFile(publicKey.path);
  return await attemptAsync(() => lib.proveInput(bytes, rawCrs(crs), values, metadata));
}

/**
 * Verifies a proven list and expands its elements, as the coprocessor does.
 *
 * @throws {@link KmsError} `CIPHERTEXT_INVALID` for a list that is malformed or whose proof does not hold.
 */
export function verifyAndExpand(input: {
  readonly keys: EvaluationKeys;
  readonly crs: Crs;
  readonly list: Uint8Array;
  readonly metadata: Uint8Array;
}): Promise<ExpandedInput[]> {
  const { keys, crs, list, metadata } = input;
  return attemptAsync(() => rawKeys(keys).verifyAndExpand(rawCrs(crs), list, metadata));
}
