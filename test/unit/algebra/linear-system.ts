/** Gauss over Z/2^128, for adversaries of tests. */
import { type Element, GR128 } from '../../../enclave/algebra/galois-ring.ts';

/**
 * Solves Σ_k rows[i][k]·x_k = values[i] for ring elements x_k, if the integer matrix is invertible modulo 2.
 *
 * @returns undefined if it is not.
 */
export function solve(rows: readonly (readonly bigint[])[], values: readonly Element[]): Element[] | undefined {
  const left = rows.map((row) => [...row]);
  const right = [...values];
  for (let column = 0; column < left.length; column++) {
    const pivot = left.findIndex((row, i) => i >= column && (row[column] ?? 0n) % 2n !== 0n);
    const [row, value] = [left[pivot], right[pivot]];
    if (row === undefined || value === undefined) return undefined;
    [left[pivot], left[column]] = [left[column] ?? [], row];
    [right[pivot], right[column]] = [right[column] ?? GR128.zero, value];
    const inverse = invertOdd(row[column] ?? 1n);
    const scaled = row.map((word) => GR128.word(word * inverse));
    left[column] = scaled;
    right[column] = GR128.scale(value, inverse);
    for (let i = 0; i < left.length; i++) {
      const factor = left[i]?.[column] ?? 0n;
      if (i === column || factor === 0n) continue;
      left[i] = (left[i] ?? []).map((word, k) => GR128.word(word - factor * (scaled[k] ?? 0n)));
      right[i] = GR128.sub(right[i] ?? GR128.zero, GR128.scale(right[column] ?? GR128.zero, factor));
    }
  }
  return right;
}

/** Inverse of an odd word modulo 2^128. */
function invertOdd(word: bigint): bigint {
  let inverse = 1n;
  for (let precision = 1; precision < 128; precision *= 2) inverse = GR128.word(inverse * (2n - word * inverse));
  return inverse;
}
