/** Native vectors of ring elements and sharings are what the twin says, on random and extreme elements. */
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { point } from '../../../enclave/algebra/exceptional-sequence.ts';
import { type Element, type GaloisRing, GR64, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { setsOf } from '../../../enclave/algebra/prss-sets.ts';
import { decodeVector, encodeElement, encodeVector } from '../../../enclave/algebra/ring-encoding.ts';
import * as robust from '../../../enclave/algebra/robust-decoding.ts';
import * as shamir from '../../../enclave/algebra/shamir.ts';
import * as vandermonde from '../../../enclave/algebra/vandermonde.ts';
import * as native from '../../../native/engine/index.ts';
import { present } from '../../helpers/present.ts';
import { elements, partySets, polynomials, QUORUMS } from './arbitraries.ts';

const RINGS = [
  [64, GR64],
  [128, GR128],
] as const;

const toNative = (bits: native.Ring, ring: GaloisRing, vector: readonly Element[]): native.ShareVector =>
  native.ShareVector.fromBytes(bits, encodeVector(ring, vector));
const toTwin = (ring: GaloisRing, vector: native.ShareVector): Element[] => decodeVector(ring, vector.encode());
const first = (ring: GaloisRing, vector: native.ShareVector): Element => present(toTwin(ring, vector)[0]);

for (const [bits, ring] of RINGS) {
  const vectors = fc.array(elements(ring), { minLength: 3, maxLength: 3 });

  t.test(`sums, differences, products and combinations of GR(2^${bits}, 4)`, async (t) => {
    fc.assert(
      fc.property(vectors, vectors, elements(ring), elements(ring), (a, b, c, d) => {
        const [x, y] = [toNative(bits, ring, a), toNative(bits, ring, b)];
        const each = (of: (u: Element, v: Element) => Element): Element[] => a.map((u, i) => of(u, b[i] ?? ring.zero));
        t.same(toTwin(ring, x.add(y)), each(ring.add));
        t.same(toTwin(ring, x.sub(y)), each(ring.sub));
        t.same(toTwin(ring, x.mul(y)), each(ring.mul));
        t.same(
          toTwin(ring, x.scale(encodeElement(ring, c))),
          a.map((u) => ring.mul(u, c)),
        );
        const combined = native.combine([x, y], [encodeElement(ring, c), encodeElement(ring, d)]);
        t.same(
          toTwin(ring, combined),
          each((u, v) => ring.add(ring.mul(u, c), ring.mul(v, d))),
        );
        t.equal(
          x.equals(y),
          a.every((u, i) => ring.equals(u, b[i] ?? ring.zero)),
        );
      }),
    );
  });

  t.test(`points, weights and values of polynomials in GR(2^${bits}, 4)`, async (t) => {
    fc.assert(
      fc.property(partySets(15, 5), fc.integer({ min: 0, max: 15 }), polynomials(ring, 4), (parties, at, f) => {
        t.same(
          native.lagrangeWeights(bits, parties, at).map(toHex),
          shamir.lagrange(ring, parties, point(at)).map((weight) => toHex(encodeElement(ring, weight))),
        );
        const coefficients = f.map((coefficient) => toNative(bits, ring, [coefficient]));
        t.same(first(ring, native.evaluate(coefficients, at)), shamir.evaluate(ring, f, point(at)));
      }),
      { numRuns: 40 },
    );
  });

  t.test(`sharings made natively in GR(2^${bits}, 4) are sharings of degree t`, async (t) => {
    for (const [n, threshold] of QUORUMS) {
      const secret = native.ShareVector.random(bits, 2);
      const shares = native.shamirShare(secret, n, threshold).map((share) => toTwin(ring, share));
      const byParty = (e: number) => new Map(shares.map((share, i) => [i + 1, present(share[e])]));
      toTwin(ring, secret).forEach((value, e) => {
        t.same(robust.openCodeword(ring, threshold, byParty(e)), value, `${n}`);
        t.equal(robust.openCodeword(ring, threshold - 1, byParty(e)), undefined, 'of no lower degree');
      });
      const { rows, columns } = native.bivariateShare(secret, n, threshold);
      const twin = (polynomial: readonly native.ShareVector[]): Element[] => polynomial.map((c) => first(ring, c));
      rows.forEach((row, i) => {
        columns.forEach((column, j) => {
          t.same(
            shamir.evaluate(ring, twin(row), point(j + 1)),
            shamir.evaluate(ring, twin(column), point(i + 1)),
            `${i} ${j}`,
          );
        });
      });
      const constants = new Map(rows.map((row, i) => [i + 1, present(twin(row)[0])]));
      t.same(robust.openCodeword(ring, threshold, constants), first(ring, secret));
    }
  });

  t.test(`extraction in GR(2^${bits}, 4)`, async (t) => {
    for (const [n, threshold] of QUORUMS) {
      fc.assert(
        fc.property(polynomials(ring, n), (inputs) => {
          const outputs = native.extract(
            inputs.map((input) => toNative(bits, ring, [input])),
            threshold,
          );
          t.same(
            outputs.map((output) => first(ring, output)),
            vandermonde.extract(ring, inputs, threshold),
          );
        }),
        { numRuns: 5 },
      );
    }
  });

  t.test(
    `opening in GR(2^${bits}, 4) gives the twin's value and liars, or nothing where it gives nothing`,
    async (t) => {
      for (const [n, threshold] of QUORUMS) {
        const word = fc.record({
          f: polynomials(ring, threshold + 1),
          order: fc.integer({ min: threshold + 1, max: n }).chain((size) => partySets(n, size)),
          lies: fc.array(
            fc.oneof(
              elements(ring),
              fc.integer({ min: 0, max: bits - 1 }).map((bit): Element => [0n, 0n, 1n << BigInt(bit), 0n]),
            ),
            { maxLength: threshold + 1 },
          ),
          maxErrors: fc.integer({ min: 0, max: threshold }),
        });
        await fc.assert(
          fc.asyncProperty(word, async ({ f, order, lies, maxErrors }) => {
            const shares = new Map(
              order.map((party, i) => [party, ring.add(shamir.evaluate(ring, f, point(party)), lies[i] ?? ring.zero)]),
            );
            const opened = await native.openRobust({
              degree: threshold,
              n,
              maxErrors,
              shares: new Map([...shares].map(([party, share]) => [party, toNative(bits, ring, [share])])),
            });
            const found = opened && { value: first(ring, opened.value), liars: opened.liars };
            t.same(found, robust.openRobust(ring, threshold, shares, maxErrors));
          }),
          { numRuns: 8 },
        );
      }
    },
  );
}

t.test('vectors whose elements have different liars open as element by element', async (t) => {
  for (const [bits, ring] of RINGS) {
    for (const [n, threshold] of QUORUMS) {
      // Element e is lied about by t parties from e + 1 on: all together by more than t.
      const f = Array.from(
        { length: 5 },
        (_, e) => fc.sample(polynomials(ring, threshold + 1), { numRuns: 1, seed: e })[0],
      );
      const lied = (party: number, e: number): boolean => (party - 1 - e + 2 * n) % n < threshold;
      const shares = Array.from({ length: n }, (_, i) =>
        f.map((polynomial, e) => {
          const share = shamir.evaluate(ring, present(polynomial), point(i + 1));
          return lied(i + 1, e) ? ring.add(share, ring.scalar(1n << BigInt(bits - 1))) : share;
        }),
      );
      const opened = await native.openRobust({
        degree: threshold,
        n,
        maxErrors: threshold,
        shares: new Map(shares.map((vector, i) => [i + 1, toNative(bits, ring, vector)])),
      });
      const twin = f.map((_, e) => {
        const byParty = new Map(shares.map((vector, i) => [i + 1, present(vector[e])]));
        return present(robust.openRobust(ring, threshold, byParty, threshold));
      });
      t.same(
        toTwin(ring, present(opened).value),
        twin.map(({ value }) => value),
        `${bits}, ${n}`,
      );
      const liars = new Set(twin.flatMap((of) => of.liars));
      t.same(
        present(opened).liars,
        [...liars].sort((a, b) => a - b),
      );
      t.ok(liars.size > threshold);
    }
  }
});

t.test('sets of the parties', async (t) => {
  for (const [n, threshold] of QUORUMS) t.same(native.setsOf(n, threshold), setsOf(n, threshold));
  for (const [n, threshold] of [
    [3, 1],
    [16, 1],
  ] as const) {
    t.throws(() => native.setsOf(n, threshold), { code: 'REQUEST_INVALID' });
    t.throws(() => setsOf(n, threshold), { code: 'REQUEST_INVALID' });
  }
});
