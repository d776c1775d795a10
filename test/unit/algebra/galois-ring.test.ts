/** The Galois rings against their definition: polynomials over Z/2^k modulo X⁴ + X + 1. */
import fc from 'fast-check';
import t from 'tap';
import { CHALLENGE_POINTS, invert, isUnit, MAX_PARTIES, point } from '../../../enclave/algebra/exceptional-sequence.ts';
import { type Element, GR64, GR128, galoisRing } from '../../../enclave/algebra/galois-ring.ts';
import { residue } from '../../../enclave/algebra/gf16.ts';
import { elements, units } from './arbitraries.ts';

/** Long division by X⁴ + X + 1, the definition. */
function schoolbook(a: Element, b: Element, modulus: bigint): bigint[] {
  const product = new Array<bigint>(7).fill(0n);
  a.forEach((x, i) => {
    b.forEach((y, j) => {
      product[i + j] = (product[i + j] ?? 0n) + x * y;
    });
  });
  for (let degree = 6; degree >= 4; degree--) {
    const lead = product[degree] ?? 0n;
    for (const lower of [degree, degree - 3, degree - 4]) product[lower] = (product[lower] ?? 0n) - lead;
  }
  return product.slice(0, 4).map((word) => ((word % modulus) + modulus) % modulus);
}

for (const ring of [GR64, GR128]) {
  t.test(`GR(2^${ring.bits}, 4) multiplies as polynomials modulo X⁴ + X + 1 do`, async (t) => {
    const one = elements(ring);
    fc.assert(
      fc.property(one, one, (a, b) => {
        t.same(ring.mul(a, b), schoolbook(a, b, ring.modulus));
      }),
    );
  });

  t.test(`GR(2^${ring.bits}, 4) is a commutative ring`, async (t) => {
    const one = elements(ring);
    fc.assert(
      fc.property(one, one, one, (a, b, c) => {
        const left = ring.mul(a, ring.add(b, c));
        return (
          ring.equals(left, ring.add(ring.mul(a, b), ring.mul(a, c))) &&
          ring.equals(ring.mul(a, b), ring.mul(b, a)) &&
          ring.equals(ring.mul(ring.mul(a, b), c), ring.mul(a, ring.mul(b, c))) &&
          ring.equals(ring.sub(ring.add(a, b), b), a) &&
          ring.equals(ring.mul(a, ring.one), a) &&
          ring.equals(ring.scale(a, 3n), ring.sum([a, a, a])) &&
          ring.equals(ring.mul(a, ring.scalar(-1n)), ring.sub(ring.zero, a))
        );
      }),
    );
    t.pass('1 property');
  });

  t.test(`exactly the elements of GR(2^${ring.bits}, 4) that are not zero modulo 2 have an inverse`, async (t) => {
    fc.assert(fc.property(units(ring), (a) => ring.equals(ring.mul(a, invert(ring, a)), ring.one)));
    fc.assert(
      fc.property(elements(ring), (a) => {
        const even = ring.scale(a, 2n);
        t.notOk(isUnit(even));
        t.throws(() => invert(ring, even), { code: 'REQUEST_INVALID' });
      }),
      { numRuns: 20 },
    );
  });

  t.test(`differences of points of GR(2^${ring.bits}, 4) are units`, async (t) => {
    for (const list of [Array.from({ length: MAX_PARTIES + 1 }, (_, i) => point(i)), CHALLENGE_POINTS]) {
      t.equal(list.length, 16);
      for (const a of list) for (const b of list) if (a !== b) t.ok(isUnit(ring.sub(a, b)), `${a} ${b}`);
    }
  });
}

t.test('multiplication in a small ring gives every residue the same number of times', async (t) => {
  // Exhaustive over one operand: a unit permutes the ring.
  const ring = galoisRing(2);
  const all = Array.from({ length: 256 }, (_, i): Element => {
    const word = (j: number): bigint => BigInt((i >> (2 * j)) & 3);
    return [word(0), word(1), word(2), word(3)];
  });
  for (const a of all) {
    const images = new Set(all.map((b) => ring.mul(a, b).join()));
    t.equal(images.size === 256, isUnit(a), `${a}`);
  }
});

t.test('points are the binary digits of the party', async (t) => {
  t.same(point(0), GR128.zero);
  t.same(point(1), GR128.one);
  t.same(point(13), [1n, 0n, 1n, 1n]);
  for (let i = 0; i <= MAX_PARTIES; i++) t.equal(residue(point(i)), i);
  for (const bad of [-1, 16, 0.5, Number.NaN]) t.throws(() => point(bad), { code: 'REQUEST_INVALID' }, `${bad}`);
});
