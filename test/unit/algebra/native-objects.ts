/** Reads the numbers out of stored key shares and of squashed ciphertexts, so that the twin can compute with them. */
import type { Element } from '../../../enclave/algebra/galois-ring.ts';
import { GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { SECRET_KEY_KIND } from '../../../enclave/algebra/mask-digest.ts';
import { decodeVector, decodeWord } from '../../../enclave/algebra/ring-encoding.ts';
import type { PackedSamples, Sample, Squashed } from '../../../enclave/algebra/squashed-ciphertext.ts';
import { present } from '../../helpers/present.ts';

class Reader {
  #rest: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#rest = bytes;
  }

  take(sizeBytes: number): Uint8Array {
    const taken = this.#rest.subarray(0, sizeBytes);
    this.#rest = this.#rest.subarray(sizeBytes);
    return taken;
  }

  number(sizeBytes: 4 | 8): number {
    return Number(decodeWord(this.take(sizeBytes)));
  }

  string(): Uint8Array {
    return this.take(this.number(8));
  }

  words(count: number): bigint[] {
    return Array.from({ length: count }, () => decodeWord(this.take(16)));
  }

  /** Format and type name of every object. */
  header(): void {
    this.string();
    this.take(4);
    this.string();
    this.string();
  }
}

/** The shares of one secret key in the stored form of key shares (docs/formats/private-objects.md). */
export function readKeyShare(stored: Uint8Array, kind: keyof typeof SECRET_KEY_KIND): Element[] {
  const reader = new Reader(stored);
  reader.header();
  reader.take(6 * 4 + 32);
  reader.string();
  reader.string();
  const keys = Object.keys(SECRET_KEY_KIND).map(() => decodeVector(GR128, reader.take(64 * reader.number(8))));
  return present(keys[SECRET_KEY_KIND[kind]]);
}

/** Bytes of a versioned number, and of a ciphertext modulus. */
const WRAPPED = 4 + 8;
const MODULUS = 4 + 16 + 8;

/** A `BigCompressed` ciphertext under a key of `dimension` coefficients in polynomials of `size`. */
export function readCompressed(bytes: Uint8Array, dimension: number, size: number): Squashed {
  const reader = new Reader(bytes);
  reader.header();
  reader.take(3 * 4);
  const packed = Array.from({ length: reader.number(8) }, (): PackedSamples => {
    reader.take(2 * 4);
    const words = reader.words(reader.number(8));
    reader.take(WRAPPED + 8 + 3 * WRAPPED + MODULUS);
    const mask = Array.from({ length: dimension / size }, (_, p) => words.slice(p * size, (p + 1) * size));
    return { mask, bodies: words.slice(dimension) };
  });
  return { format: 'BigCompressed', packed };
}

/** A `BigExpanded` ciphertext of so many blocks; a Boolean one does not say their number. */
export function readExpanded(bytes: Uint8Array, blocks: number, isBool: boolean): Squashed {
  const reader = new Reader(bytes);
  reader.header();
  reader.take(3 * 4 + (isBool ? 0 : 8));
  const samples = Array.from({ length: blocks }, (): Sample => {
    reader.take(2 * 4);
    const words = reader.words(reader.number(8));
    reader.take(MODULUS + WRAPPED + 2 * WRAPPED);
    return { mask: words.slice(0, -1), body: present(words.at(-1)) };
  });
  return { format: 'BigExpanded', samples };
}
