/** Roots of x² + x = v, the random bits that come of them, and TUniform. */
import fc from 'fast-check';
import t from 'tap';
import { type Element, GR64, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { gf16Mul, gf16Trace, residue } from '../../../enclave/algebra/gf16.ts';
import { interpolate, share } from '../../../enclave/algebra/shamir.ts';
import { bitFromSquare, solveField, solveQuadratic } from '../../../enclave/algebra/solve-quadratic.ts';
import { tUniform } from '../../../enclave/algebra/t-uniform.ts';
import { elements } from './arbitraries.ts';

t.test('every element of GF(16) of trace zero has a root, and no other', async (t) => {
  for (let v = 0; v < 16; v++) {
    const x = solveField(v);
    if (gf16Trace(v) === 1) t.equal(x, undefined, `${v}`);
    else t.equal(gf16Mul(x ?? 0, x ?? 0) ^ (x ?? 0), v, `${v}`);
  }
});

for (const ring of [GR64, GR128]) {
  const square = (a: Element): Element => ring.add(ring.mul(a, a), a);

  t.test(`x² + x = a² + a has the roots a and -1 - a in GR(2^${ring.bits}, 4)`, async (t) => {
    fc.assert(
      fc.property(elements(ring), (a) => {
        const x = solveQuadratic(ring, square(a)) ?? ring.zero;
        const other = ring.sub(ring.scalar(-1n), a);
        return ring.equals(square(x), square(a)) && (ring.equals(x, a) || ring.equals(x, other));
      }),
    );
    fc.assert(
      fc.property(elements(ring), (v) => (solveQuadratic(ring, v) === undefined) === (gf16Trace(residue(v)) === 1)),
    );
    t.pass('2 properties');
  });

  t.test(`a random element and its opened a² + a give a shared bit in GR(2^${ring.bits}, 4)`, async (t) => {
    const bits = fc.sample(elements(ring), 64).map((a) => {
      const shares = share(ring, [a, [1n, 2n, 3n, 4n]], 4).map((s) => bitFromSquare(ring, s, square(a)) ?? ring.one);
      const bit = bitFromSquare(ring, a, square(a));
      t.same(
        interpolate(
          ring,
          new Map([
            [1, shares[0] ?? ring.zero],
            [4, shares[3] ?? ring.zero],
          ]),
        ),
        bit,
      );
      return bit?.join();
    });
    t.same([...new Set(bits)].sort(), ['0,0,0,0', '1,0,0,0'], 'both bits, and nothing else');
    t.equal(bitFromSquare(ring, ring.one, [0n, 0n, 0n, 1n]), undefined, 'Tr(X³) = 1');
  });

  t.test(`TUniform(2) in GR(2^${ring.bits}, 4) is uniform with half the weight on both ends`, async (t) => {
    const counts = new Map<bigint, number>();
    for (let bits = 0; bits < 16; bits++) {
      const e = tUniform(
        ring,
        [0, 1, 2, 3].map((i) => ring.scalar(BigInt((bits >> i) & 1))),
      );
      const value = BigInt.asIntN(ring.bits, e[0]);
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    const sorted = [...counts].sort(([a], [b]) => Number(a - b));
    t.same(sorted, [
      [-4n, 1],
      [-3n, 2],
      [-2n, 2],
      [-1n, 2],
      [0n, 2],
      [1n, 2],
      [2n, 2],
      [3n, 2],
      [4n, 1],
    ]);
    t.throws(() => tUniform(ring, [ring.one]), RangeError);
  });
}
