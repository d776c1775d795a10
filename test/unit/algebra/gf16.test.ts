/** The residue field, polynomials over it, and decoding of its Reed–Solomon codes. */
import fc from 'fast-check';
import t from 'tap';
import { GR128 } from '../../../enclave/algebra/galois-ring.ts';
import {
  GF16_POWERS,
  gf16Add,
  gf16Invert,
  gf16Mul,
  gf16Pow,
  gf16Trace,
  lift,
  residue,
} from '../../../enclave/algebra/gf16.ts';
import {
  addPolynomials,
  degreeOf,
  derivative,
  dividePolynomials,
  evaluatePolynomial,
  interpolatePolynomial,
  multiplyPolynomials,
  trim,
  vanishingPolynomial,
} from '../../../enclave/algebra/gf16-polynomial.ts';
import { decodeField } from '../../../enclave/algebra/reed-solomon.ts';
import { partySets } from './arbitraries.ts';

const FIELD = Array.from({ length: 16 }, (_, i) => i);
const values = fc.integer({ min: 0, max: 15 });
const polynomials = fc.array(values, { maxLength: 8 }).map(trim);

t.test('GF(16) is the ring modulo 2', async (t) => {
  for (const a of FIELD) {
    for (const b of FIELD) {
      t.equal(gf16Mul(a, b), residue(GR128.mul(lift(a), lift(b))), `${a}·${b}`);
      t.equal(gf16Add(a, b), residue(GR128.add(lift(a), lift(b))), `${a}+${b}`);
    }
  }
});

t.test('X generates the units, and each has its inverse', async (t) => {
  t.same(
    [...GF16_POWERS].sort((a, b) => a - b),
    FIELD.slice(1),
  );
  for (const a of FIELD.slice(1)) t.equal(gf16Mul(a, gf16Invert(a)), 1, `${a}`);
  t.throws(() => gf16Invert(0), { code: 'REQUEST_INVALID' });
});

t.test('the trace is linear, and zero for half of the field', async (t) => {
  for (const a of FIELD) for (const b of FIELD) t.equal(gf16Trace(a ^ b), gf16Trace(a) ^ gf16Trace(b), `${a} ${b}`);
  t.equal(FIELD.filter((a) => gf16Trace(a) === 0).length, 8);
  t.same(
    FIELD.map((a) => gf16Pow(a, 16)),
    FIELD,
    'a^16 = a',
  );
});

t.test('division gives quotient and remainder', async (t) => {
  fc.assert(
    fc.property(
      polynomials,
      polynomials.filter((g) => g.length > 0),
      (f, g) => {
        const { quotient, remainder } = dividePolynomials(f, g);
        t.same(addPolynomials(multiplyPolynomials(quotient, g), remainder), f);
        t.ok(degreeOf(remainder) < degreeOf(g));
      },
    ),
  );
  t.throws(() => dividePolynomials([1], []), { code: 'REQUEST_INVALID' });
});

t.test('interpolation passes through the points; the derivative follows the rule of products', async (t) => {
  fc.assert(
    fc.property(partySets(15, 6), fc.array(values, { minLength: 6, maxLength: 6 }), (points, wanted) => {
      const f = interpolatePolynomial(points, wanted);
      t.ok(degreeOf(f) < 6);
      t.same(
        points.map((x) => evaluatePolynomial(f, x)),
        wanted,
      );
    }),
  );
  fc.assert(
    fc.property(polynomials, polynomials, (f, g) => {
      const product = derivative(multiplyPolynomials(f, g));
      t.same(product, addPolynomials(multiplyPolynomials(derivative(f), g), multiplyPolynomials(f, derivative(g))));
    }),
  );
  t.same(
    FIELD.map((x) => evaluatePolynomial(vanishingPolynomial(FIELD), x)),
    FIELD.map(() => 0),
  );
});

/** A codeword with errors at some of its places. */
const damaged = fc
  .record({ degree: fc.integer({ min: 0, max: 4 }), present: fc.integer({ min: 5, max: 15 }) })
  .chain(({ degree, present }) =>
    fc.record({
      points: partySets(15, present),
      f: fc.array(values, { minLength: degree + 1, maxLength: degree + 1 }),
      errors: fc.array(fc.integer({ min: 1, max: 15 }), { maxLength: Math.floor((present - degree - 1) / 2) }),
    }),
  );

t.test('decoding corrects up to half of the distance', async (t) => {
  fc.assert(
    fc.property(damaged, ({ points, f, errors }) => {
      const degree = f.length - 1;
      const received = points.map((x, i) => evaluatePolynomial(f, x) ^ (errors[i] ?? 0));
      const most = Math.floor((points.length - degree - 1) / 2);
      t.same(decodeField(points, received, degree, most), trim(f));
      t.same(decodeField(points, received, degree, errors.length), trim(f));
      if (errors.length > 0) t.equal(decodeField(points, received, degree, errors.length - 1), undefined);
    }),
    { numRuns: 300 },
  );
});

t.test('decoding never gives a polynomial that misses more values than allowed', async (t) => {
  fc.assert(
    fc.property(partySets(15, 9), fc.array(values, { minLength: 9, maxLength: 9 }), (points, received) => {
      const found = decodeField(points, received, 4, 2);
      if (found === undefined) return true;
      return points.filter((x, i) => evaluatePolynomial(found, x) !== received[i]).length <= 2;
    }),
    { numRuns: 500 },
  );
  t.equal(decodeField([1, 2, 3, 4], [0, 0, 0, 0], 1, 2), undefined, 'too few points for two errors');
  t.equal(decodeField([1, 2, 3, 4], [0, 0, 0, 0], 1, -1), undefined, 'no budget');
});
