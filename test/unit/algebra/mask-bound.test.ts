/**
 * How well a mask hides noise (docs/security/decryption-masks.md, section 5): the distance between a mask and a mask
 * that is shifted by the noise, computed exactly where its width allows.
 */
import t from 'tap';

type Probability = (x: number) => number;

/** The sum of two uniform values on [-B, B), W = 2B. */
const triangle =
  (width: number): Probability =>
  (x) =>
    Math.max(0, width - Math.abs(x + 1)) / width ** 2;

/** One uniform value on [-B, B), 2B = W. */
const rectangle =
  (width: number): Probability =>
  (x) =>
    x >= -width / 2 && x < width / 2 ? 1 / width : 0;

/** H² = 1 - Σ √(P(x)·P(x - e)), summed as differences so that small ones are not lost. */
function squaredHellinger(p: Probability, width: number, shift: number): number {
  let sum = 0;
  for (let x = -width - 1; x <= width + shift; x++) sum += (Math.sqrt(p(x)) - Math.sqrt(p(x - shift))) ** 2;
  return sum / 2;
}

const CASES = [8, 10, 12, 14, 16].flatMap((bits) =>
  [1, 2, 3, 8, 16].map((shift): [number, number] => [2 ** bits, shift]),
);

t.test('the sum of two values hides a shift of δ widths up to δ²·(ln(1/δ)/4 + 1)', async (t) => {
  for (const [width, shift] of CASES) {
    const delta = shift / width;
    const distance = squaredHellinger(triangle(width), width, shift);
    const main = Math.log(1 / delta) / 4;
    t.ok(distance <= delta ** 2 * (main + 1), `${width} ${shift}`);
    t.ok(distance >= delta ** 2 * (main + 0.7), `${width} ${shift}: the constant is 0.7 to 1`);
  }
});

t.test('one value alone hides it up to δ only', async (t) => {
  for (const [width, shift] of CASES) {
    const distance = squaredHellinger(rectangle(width), width, shift);
    t.ok(Math.abs(distance / (shift / width) - 1) < 1e-9, `${width} ${shift}`);
  }
});

t.test('at the real width 2^40 blocks leave an advantage of about 2^-19, 2^44 blocks one of 2^-17', async (t) => {
  const delta = 2 ** -41;
  const block = delta ** 2 * (Math.log(1 / delta) / 4 + 1);
  for (const [blocks, advantage] of [
    [40, -19],
    [44, -17],
    [60, -9],
  ] as const) {
    const bound = Math.log2(Math.sqrt(2 * block * 2 ** blocks));
    t.ok(bound < advantage + 0.05, `2^${blocks} blocks: 2^${bound.toFixed(2)}`);
  }
});
