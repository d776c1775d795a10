/**
 * Shamir sharing of bytes over Z/2^64[X]/(X^4 + X + 1), as backups are shared among custodians. SECRET: everything
 * but numbers of custodians. Spec: kms-service 5.6 and 7.4.
 *
 * Custodian i evaluates at the element whose coefficient k is bit k of i. Arithmetic on secrets is on 16-bit limbs in
 * doubles, with no branch and no index that depends on them.
 */
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import { MAX_CUSTODIANS } from './fields.ts';
import { type LimbMatrix, powerMatrices, weightMatrices } from './sharing-weights.ts';

/** Bytes of one element, and of one block of the padded secret. */
const ELEMENT_BYTES = 32;
const COEFFICIENTS = 4;
const COEFFICIENT_BYTES = 8;
const LIMBS_PER_COEFFICIENT = 4;
/** One past the largest limb. */
const LIMB = 2 ** 16;

/** Number of custodians, and how many of them together learn nothing. */
export interface SharingShape {
  readonly custodians: number;
  readonly threshold: number;
}

/**
 * Checks that at least one custodian may be dishonest and that honest ones are a majority.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` otherwise, or for more than 15 custodians.
 */
export function checkSharingShape({ custodians, threshold }: SharingShape): void {
  const fits = Number.isInteger(custodians) && custodians <= MAX_CUSTODIANS;
  if (!fits || !Number.isInteger(threshold) || threshold < 1 || 2 * threshold >= custodians) {
    throw new KmsError(
      'REQUEST_INVALID',
      `the threshold must be at least 1 and less than half of at most ${MAX_CUSTODIANS} custodians`,
      { custodians, threshold },
    );
  }
}

/**
 * Shares a secret: any `threshold + 1` of the shares give it back, fewer say nothing but its padded length.
 *
 * @returns One share for each custodian from 1 on, elements of 32 bytes. The caller wipes them.
 */
export function shareSecret(secret: Uint8Array, shape: SharingShape, random: RandomSource): Uint8Array<ArrayBuffer>[] {
  checkSharingShape(shape);
  const padded = pad(secret);
  const shares = Array.from({ length: shape.custodians }, (_, index) => ({
    powers: powerMatrices(index + 1, shape.threshold),
    bytes: new Uint8Array(padded.byteLength),
  }));
  try {
    for (let at = 0; at < padded.byteLength; at += ELEMENT_BYTES) {
      const polynomial = [limbsOf(padded, at)];
      for (let degree = 1; degree <= shape.threshold; degree++) polynomial.push(randomElement(random));
      for (const { powers, bytes } of shares) writeSum(powers, polynomial, bytes, at);
      for (const coefficient of polynomial) coefficient.fill(0);
    }
    return shares.map(({ bytes }) => bytes);
  } finally {
    padded.fill(0);
  }
}

/**
 * Gives back a secret from shares that are all right; which are is for the caller to know, by their commitments.
 * Shares beyond the first `threshold + 1` must lie on the same polynomials.
 *
 * @param shares - By the number of their custodian.
 * @returns The secret in an ArrayBuffer of its own, which the caller wipes.
 * @throws {@link KmsError} `REQUEST_INVALID` for too few shares, shares of different lengths, or shares that disagree.
 */
export function reconstructSecret(shares: ReadonlyMap<number, Uint8Array>, threshold: number): Uint8Array<ArrayBuffer> {
  const sorted = [...shares].sort(([a], [b]) => a - b);
  const basis = sorted.slice(0, threshold + 1);
  const sizeBytes = basis[0]?.[1].byteLength ?? 0;
  if (threshold < 1 || basis.length <= threshold) {
    throw new KmsError('REQUEST_INVALID', 'too few shares of the backup key', {
      have: basis.length,
      need: threshold + 1,
    });
  }
  if (
    sizeBytes === 0 ||
    sizeBytes % ELEMENT_BYTES !== 0 ||
    sorted.some(([, { byteLength }]) => byteLength !== sizeBytes)
  ) {
    throw new KmsError('REQUEST_INVALID', 'shares of one secret have one length, in whole elements');
  }
  for (const [role, share] of sorted.slice(threshold + 1)) {
    const expected = interpolate(basis, role);
    const agrees = sameBytes(expected, share);
    expected.fill(0);
    if (!agrees) throw new KmsError('REQUEST_INVALID', 'the shares of the backup key do not agree', { role });
  }
  const padded = interpolate(basis, 0);
  try {
    return unpad(padded);
  } finally {
    padded.fill(0);
  }
}

/** Values at a custodian's point, or at 0, of the polynomials through the given shares. */
function interpolate(shares: readonly (readonly [number, Uint8Array])[], at: number): Uint8Array<ArrayBuffer> {
  const weights = weightMatrices(
    shares.map(([role]) => role),
    at,
  );
  const out = new Uint8Array(shares[0]?.[1].byteLength ?? 0);
  for (let offset = 0; offset < out.byteLength; offset += ELEMENT_BYTES) {
    const elements = shares.map(([, share]) => limbsOf(share, offset));
    writeSum(weights, elements, out, offset);
    for (const element of elements) element.fill(0);
  }
  return out;
}

/** Writes Σ matrix·element. Sums stay below 2^53: at most 8 terms of 16 products of 16-bit limbs, and carries. */
function writeSum(
  matrices: readonly LimbMatrix[],
  elements: readonly Float64Array[],
  out: Uint8Array,
  offset: number,
): void {
  for (let row = 0; row < COEFFICIENTS; row++) {
    let carry = 0;
    for (let limb = 0; limb < LIMBS_PER_COEFFICIENT; limb++) {
      let sum = carry;
      for (const [term, element] of elements.entries()) {
        const matrix = matrices[term] ?? element;
        for (let column = 0; column < COEFFICIENTS; column++) {
          for (let low = 0; low <= limb; low++) {
            sum += (matrix[16 * row + 4 * column + low] ?? 0) * (element[4 * column + limb - low] ?? 0);
          }
        }
      }
      const digit = sum % LIMB;
      carry = (sum - digit) / LIMB;
      const at = offset + COEFFICIENT_BYTES * row + 2 * limb;
      out[at] = digit & 0xff;
      out[at + 1] = digit >> 8;
    }
  }
}

/** Reads an element into limbs of 16 bits, low ones first. */
function limbsOf(bytes: Uint8Array, offset: number): Float64Array {
  const limbs = new Float64Array(COEFFICIENTS * LIMBS_PER_COEFFICIENT);
  for (let i = 0; i < limbs.length; i++) {
    limbs[i] = (bytes[offset + 2 * i] ?? 0) | ((bytes[offset + 2 * i + 1] ?? 0) << 8);
  }
  return limbs;
}

/** Draws one coefficient at a time, as the published KMS does. */
function randomElement(random: RandomSource): Float64Array {
  const bytes = new Uint8Array(ELEMENT_BYTES);
  for (let at = 0; at < ELEMENT_BYTES; at += COEFFICIENT_BYTES) {
    const drawn = random(COEFFICIENT_BYTES);
    bytes.set(drawn, at);
    drawn.fill(0);
  }
  const limbs = limbsOf(bytes, 0);
  bytes.fill(0);
  return limbs;
}

/** PKCS #7 to whole blocks: 1 to 32 bytes, each of which is their number. */
function pad(secret: Uint8Array): Uint8Array<ArrayBuffer> {
  const added = ELEMENT_BYTES - (secret.byteLength % ELEMENT_BYTES);
  const padded = new Uint8Array(secret.byteLength + added).fill(added);
  padded.set(secret);
  return padded;
}

/** One error whatever is wrong: a padding that can be told apart is an oracle. */
function unpad(padded: Uint8Array): Uint8Array<ArrayBuffer> {
  const added = padded[padded.byteLength - 1] ?? 0;
  let wrong = added === 0 || added > ELEMENT_BYTES ? 1 : 0;
  for (let i = 1; i <= ELEMENT_BYTES; i++) {
    if (i <= added) wrong |= (padded[padded.byteLength - i] ?? 0) ^ added;
  }
  if (wrong !== 0) throw new KmsError('REQUEST_INVALID', 'the shares of the backup key give no key');
  return Uint8Array.from(padded.subarray(0, padded.byteLength - added));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0;
  for (const [i, byte] of a.entries()) difference |= byte ^ (b[i] ?? 0);
  return difference === 0;
}
