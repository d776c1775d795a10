/**
 * Threshold decryption with noise flooding: a party's masked share, and what opening them gives (threshold-protocols
 * §3.2, §3.4, with §3.5 (a), (c), (d)).
 */
import { DEGREE, type Element, GR128, mapElement } from './galois-ring.ts';
import { type MaskNames, maskDigest, type SECRET_KEY_KIND } from './mask-digest.ts';
import { pack, unpack } from './packing.ts';
import { maskShare, type SetUp } from './prss.ts';
import { setsOf } from './prss-sets.ts';
import { MASK_BOUND_BITS } from './set-prf.ts';
import { type Sample, type Squashed, samplesOf } from './squashed-ciphertext.ts';

/** log₂ Δ: four bits of message and carry under one bit of padding. */
const DELTA_BITS = 123n;
/** Values of a block. */
const BLOCK_VALUES = 16n;
/** Bound on the noise of a block that was squashed, and not made up. */
const NOISE_BOUND = 1n << 70n;

/** b - ⟨a, s_i⟩: this party's share of Δ·m + e. */
export function phaseShare(keyShare: readonly Element[], sample: Sample): Element {
  const coordinate = (j: number): bigint => sample.mask.reduce((sum, a, k) => sum + a * (keyShare[k]?.[j] ?? 0n), 0n);
  const product = GR128.element(mapElement(GR128.zero, (_, j) => coordinate(j)));
  return GR128.sub(GR128.scalar(sample.body), product);
}

/**
 * A party's answer: ⌈blocks/4⌉ elements Σ_j p_{4e+j}·X^j, p_j = b_j - ⟨a_j, s_i⟩ + its share of block j's mask.
 *
 * Groups are always full: what is missing of the last one is a mask at its block number, over zero.
 *
 * @param kind - Which key the ciphertext is under, and `keyShare` is of.
 */
export function partialDecrypt(
  keyShare: readonly Element[],
  setUp: SetUp,
  names: MaskNames,
  kind: keyof typeof SECRET_KEY_KIND,
  ciphertext: Squashed,
): Element[] {
  const digest = maskDigest(names, kind, ciphertext);
  const phases = samplesOf(ciphertext).map((sample) => phaseShare(keyShare, sample));
  while (phases.length % DEGREE !== 0) phases.push(GR128.zero);
  return pack(
    GR128,
    phases.map((phase, block) => GR128.add(phase, maskShare(setUp, digest, block))),
  );
}

/** The largest distance of an opened block from a multiple of Δ: all masks together, and the noise. */
export function openingBound(n: number, t: number): bigint {
  return 2n * BigInt(setsOf(n, t).length) * (1n << MASK_BOUND_BITS) + NOISE_BOUND;
}

/**
 * Reads the blocks off opened elements, low block first.
 *
 * @param count - Blocks of the ciphertext; the rest of the last group must be masks over zero.
 * @returns undefined, the fault "inconsistent epoch", if some u_j is farther from Δ·m_j than masks and noise can be.
 */
export function readBlocks(opened: readonly Element[], count: number, bound: bigint): bigint[] | undefined {
  const scalars = unpack(opened);
  const blocks = scalars.map(roundBlock);
  const fits = scalars.every((u, j) => {
    const off = BigInt.asIntN(128, u - ((blocks[j] ?? 0n) << DELTA_BITS));
    return off <= bound && off >= -bound && (j < count || blocks[j] === 0n);
  });
  return fits ? blocks.slice(0, count) : undefined;
}

/** Rounding as published (§3.2 (5)): negative noise around zero wraps into the padding bit and is zero. */
export function roundBlock(u: bigint): bigint {
  const delta = 1n << DELTA_BITS;
  if (u > GR128.modulus - 1n - delta) return 0n;
  return ((u + delta / 2n) >> DELTA_BITS) % BLOCK_VALUES;
}

/** Σ_j block_j·2^{4j}, two 2-bit blocks in each, truncated to the width of the type. */
export function recompose(blocks: readonly bigint[], widthBits: number): bigint {
  const value = blocks.reduceRight((sum, block) => (sum << 4n) | block, 0n);
  return BigInt.asUintN(widthBits, value);
}
