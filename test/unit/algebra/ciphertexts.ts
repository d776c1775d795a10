/** Squashed ciphertexts of test size under a key of bits, made by the definition, and shares of that key. */
import { systemRandom } from '../../../common/random.ts';
import { type Element, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import type { MaskNames } from '../../../enclave/algebra/mask-digest.ts';
import { decodeWord } from '../../../enclave/algebra/ring-encoding.ts';
import { share } from '../../../enclave/algebra/shamir.ts';
import type { PackedSamples, Sample } from '../../../enclave/algebra/squashed-ciphertext.ts';
import { randomElement } from './arbitraries.ts';

/** Names for tests that do not care. */
export const NAMES: MaskNames = {
  context: new Uint8Array(32).fill(1),
  epoch: new Uint8Array(32).fill(2),
  sharingId: new Uint8Array(32).fill(3),
  keyId: new Uint8Array(32).fill(4),
};

/** Random bits. */
export const randomKey = (dimension: number): bigint[] =>
  Array.from({ length: dimension }, () => decodeWord(systemRandom(1)) & 1n);

const randomWord = (): bigint => decodeWord(systemRandom(16));
/** In (-2^70, 2^70). */
const noise = (): bigint => BigInt.asUintN(71, randomWord()) - (1n << 70n) + 1n;
const phase = (value: bigint): bigint => (value << 123n) + noise();

/** Shares of degree t: `shares[i]` is party i + 1's share of every coefficient. */
export function shareKey(key: readonly bigint[], n: number, t: number): Element[][] {
  const sharings = key.map((bit) =>
    share(GR128, [GR128.scalar(bit), ...Array.from({ length: t }, () => randomElement(GR128))], n),
  );
  return Array.from({ length: n }, (_, i) => sharings.map((sharing) => sharing[i] ?? GR128.zero));
}

/** An LWE ciphertext: b = ⟨a, s⟩ + Δ·m + e. */
export function encryptSample(key: readonly bigint[], value: bigint): Sample {
  const mask = key.map(randomWord);
  const product = mask.reduce((sum, a, k) => sum + a * (key[k] ?? 0n), 0n);
  return { mask, body: GR128.word(product + phase(value)) };
}

/** A GLWE ciphertext of polynomials of `size` coefficients: the body is Σ a_p·s_p + Δ·m + e modulo X^size + 1. */
export function encryptPacked(key: readonly bigint[], size: number, values: readonly bigint[]): PackedSamples {
  const polynomials = Array.from({ length: key.length / size }, (_, p) => key.slice(p * size, (p + 1) * size));
  const mask = polynomials.map((s) => s.map(randomWord));
  const products = mask.map((a, p) => negacyclicProduct(a, polynomials[p] ?? []));
  const bodies = values.map((value, i) =>
    GR128.word(products.reduce((sum, product) => sum + (product[i] ?? 0n), phase(value))),
  );
  return { mask, bodies };
}

function negacyclicProduct(a: readonly bigint[], s: readonly bigint[]): bigint[] {
  const product = a.map(() => 0n);
  a.forEach((x, i) => {
    s.forEach((y, j) => {
      const at = (i + j) % a.length;
      product[at] = (product[at] ?? 0n) + (i + j < a.length ? x * y : -x * y);
    });
  });
  return product;
}
