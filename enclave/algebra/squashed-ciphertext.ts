/**
 * Squashed ciphertexts modulo 2^128 as partial decryption reads them: samples (a, b), loose or packed into GLWE
 * ciphertexts (threshold-protocols §3.1). All public.
 */
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { GR128 } from './galois-ring.ts';
import { encodeWord } from './ring-encoding.ts';

/** Numbers of the formats, as requests have them. */
export const CIPHERTEXT_FORMAT = { SmallCompressed: 0, SmallExpanded: 1, BigCompressed: 2, BigExpanded: 3 } as const;

/** One LWE ciphertext of a block: mask a and body b. */
export interface Sample {
  readonly mask: readonly bigint[];
  readonly body: bigint;
}

/** Mask polynomials of N coefficients, and the bodies of the blocks that are packed: coefficients 0, 1, … of the body. */
export interface PackedSamples {
  readonly mask: readonly (readonly bigint[])[];
  readonly bodies: readonly bigint[];
}

/** A parsed ciphertext. */
export type Squashed =
  | { readonly format: 'BigCompressed'; readonly packed: readonly PackedSamples[] }
  | { readonly format: Exclude<keyof typeof CIPHERTEXT_FORMAT, 'BigCompressed'>; readonly samples: readonly Sample[] };

/** The bytes that the dot product reads, all words in 16 bytes little-endian: masks before bodies. */
export function squashedBytes(ciphertext: Squashed): Uint8Array {
  const words =
    ciphertext.format === 'BigCompressed'
      ? ciphertext.packed.flatMap(({ mask, bodies }) => [...mask.flat(), ...bodies])
      : ciphertext.samples.flatMap(({ mask, body }) => [...mask, body]);
  return concatBytes(...words.map((word) => encodeWord(word, 16)));
}

/** The blocks' samples, unpacked where they are packed. */
export function samplesOf(ciphertext: Squashed): readonly Sample[] {
  if (ciphertext.format !== 'BigCompressed') return ciphertext.samples;
  return ciphertext.packed.flatMap(({ mask, bodies }) =>
    bodies.map((body, i) => ({ mask: mask.flatMap((polynomial) => extractMask(polynomial, i)), body })),
  );
}

/** Sample extraction: coefficient i of a(X)·s(X) modulo X^N + 1 is ⟨this, s⟩: a_{i-j} for j ≤ i, -a_{N+i-j} beyond. */
function extractMask(polynomial: readonly bigint[], i: number): bigint[] {
  const at = (index: number): bigint => {
    const word = polynomial[index];
    if (word === undefined) throw new KmsError('REQUEST_INVALID', 'more blocks than coefficients');
    return word;
  };
  return polynomial.map((_, j) => (j <= i ? at(i - j) : GR128.word(-at(polynomial.length + i - j))));
}
