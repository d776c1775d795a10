/** Sharings over the rings: definitions, and opening them although shares are missing or wrong. */
import fc from 'fast-check';
import t from 'tap';
import { invert, point } from '../../../enclave/algebra/exceptional-sequence.ts';
import { type Element, type GaloisRing, GR64, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { liftBits, openCodeword, openRobust } from '../../../enclave/algebra/robust-decoding.ts';
import { evaluate, interpolate, lagrange, share, shareBivariate } from '../../../enclave/algebra/shamir.ts';
import { extract } from '../../../enclave/algebra/vandermonde.ts';
import { elements, partySets, polynomials, QUORUMS } from './arbitraries.ts';

const RINGS = [GR64, GR128];
const byParty = (shares: readonly Element[]): Map<number, Element> => new Map(shares.map((s, i) => [i + 1, s]));
const only = (shares: ReadonlyMap<number, Element>, parties: readonly number[]): Map<number, Element> =>
  new Map([...shares].filter(([party]) => parties.includes(party)));

t.test('any t + 1 shares give the polynomial at any point, and t shares fit every secret', async (t) => {
  for (const ring of RINGS) {
    const sharing = fc.tuple(polynomials(ring, 3), partySets(13, 3), elements(ring), elements(ring));
    fc.assert(
      fc.property(sharing, ([f, parties, x, other]) => {
        const shares = byParty(share(ring, f, 13));
        t.same(interpolate(ring, only(shares, parties)), f[0]);
        t.same(interpolate(ring, only(shares, parties), x), evaluate(ring, f, x));
        // f + c·(Z - α)(Z - β) has two of the shares and the other secret.
        const [alpha, beta] = [point(parties[0] ?? 0), point(parties[1] ?? 0)];
        const product = ring.mul(alpha, beta);
        const c = ring.mul(ring.sub(other, f[0] ?? other), invert(ring, product));
        const step = [product, ring.sub(ring.zero, ring.add(alpha, beta)), ring.one];
        const g = f.map((coefficient, i) => ring.add(coefficient, ring.mul(c, step[i] ?? ring.zero)));
        t.same(g[0], other);
        for (const x of [alpha, beta]) t.same(evaluate(ring, g, x), evaluate(ring, f, x));
      }),
      { numRuns: 30 },
    );
  }
});

t.test('weights add up to one, and need distinct parties', async (t) => {
  for (const ring of RINGS) {
    fc.assert(
      fc.property(partySets(15, 7), elements(ring), (parties, x) =>
        ring.equals(ring.sum(lagrange(ring, parties, x)), ring.one),
      ),
      { numRuns: 30 },
    );
    for (const bad of [[1, 1], [0, 1], [16]]) {
      t.throws(() => lagrange(ring, [...bad, 3]), { code: 'REQUEST_INVALID' }, `${bad}`);
    }
  }
});

t.test('a bivariate sharing agrees at every pair of parties, and its rows share the secret', async (t) => {
  for (const [n, threshold] of QUORUMS) {
    const f =
      fc.sample(
        fc.array(polynomials(GR128, threshold + 1), { minLength: threshold + 1, maxLength: threshold + 1 }),
        1,
      )[0] ?? [];
    const { rows, columns } = shareBivariate(GR128, f, n);
    rows.forEach((row, i) => {
      columns.forEach((column, j) => {
        t.same(evaluate(GR128, row, point(j + 1)), evaluate(GR128, column, point(i + 1)), `${i} ${j}`);
      });
    });
    t.same(openCodeword(GR128, threshold, byParty(rows.map((row) => row[0] ?? GR128.zero))), f[0]?.[0]);
  }
});

/** A sharing, who is absent, and what the liars add to their shares. */
const opening = (ring: GaloisRing, n: number, threshold: number) =>
  fc.integer({ min: 0, max: threshold }).chain((absent) =>
    fc.record({
      f: polynomials(ring, threshold + 1),
      order: partySets(n, n - absent),
      lies: fc.array(
        fc.oneof(
          elements(ring),
          fc.integer({ min: 0, max: ring.bits - 1 }).map((bit): Element => [0n, 1n << BigInt(bit), 0n, 0n]),
        ),
        { maxLength: threshold - absent },
      ),
    }),
  );

t.test('opening corrects t - absent lies, and names exactly the liars', async (t) => {
  for (const ring of RINGS) {
    for (const [n, threshold] of QUORUMS) {
      fc.assert(
        fc.property(opening(ring, n, threshold), ({ f, order, lies }) => {
          const clean = byParty(share(ring, f, n));
          const shares = new Map(
            order.map((party, i) => [party, ring.add(clean.get(party) ?? ring.zero, lies[i] ?? ring.zero)]),
          );
          const liars = order.filter((_, i) => !ring.equals(lies[i] ?? ring.zero, ring.zero)).sort((a, b) => a - b);
          const errors = threshold - (n - order.length);
          t.same(openRobust(ring, threshold, shares, errors), { value: f[0], liars });
          const polynomial = liftBits(ring, threshold, shares, errors);
          t.same(polynomial, f, 'bit lifting gives the polynomial, with or without lies');
          if (liars.length > 0) t.equal(openRobust(ring, threshold, shares, liars.length - 1), undefined);
        }),
        { numRuns: 5 },
      );
    }
  }
});

t.test('too few shares open nothing, and t + 1 liars are not believed', async (t) => {
  for (const [n, threshold] of QUORUMS) {
    const f = Array.from({ length: threshold + 1 }, (_, i): Element => [BigInt(i), 5n, 0n, 1n]);
    const shares = byParty(share(GR128, f, n));
    const parties = [...shares.keys()];
    t.equal(openRobust(GR128, threshold, only(shares, parties.slice(0, threshold)), 0), undefined);
    t.equal(openRobust(GR128, threshold, only(shares, parties.slice(0, 3 * threshold)), threshold), undefined);
    for (const party of parties.slice(0, threshold + 1)) shares.set(party, GR128.scalar(BigInt(party) * 77n));
    t.equal(openRobust(GR128, threshold, shares, threshold), undefined);
  }
});

t.test('the outputs of extraction are Σ x_i·α_i^k, and determine the inputs of any n - t parties', async (t) => {
  // So they are uniform if those inputs are, whatever the other t parties chose.
  for (const [n, threshold] of QUORUMS) {
    const honest = partySets(n, n - threshold);
    fc.assert(
      fc.property(honest, polynomials(GR128, n - threshold), (parties, secrets) => {
        const inputs = new Array<Element>(n).fill(GR128.zero);
        parties.forEach((party, i) => {
          inputs[party - 1] = secrets[i] ?? GR128.zero;
        });
        const outputs = extract(GR128, inputs, threshold);
        t.same(
          outputs,
          outputs.map((_, k) => powerSum(inputs, k)),
        );
        parties.forEach((party, i) => {
          const basis = lagrangeBasis(GR128, parties, party);
          t.same(GR128.sum(basis.map((g, k) => GR128.mul(g, outputs[k] ?? GR128.zero))), secrets[i]);
        });
      }),
      { numRuns: 3 },
    );
  }
});

/** Σ x_i·α_i^k. */
function powerSum(inputs: readonly Element[], k: number): Element {
  const power = (x: Element, alpha: Element): Element =>
    Array.from({ length: k }).reduce<Element>((p) => GR128.mul(p, alpha), x);
  return GR128.sum(inputs.map((input, i) => power(input, point(i + 1))));
}

/** Coefficients of the polynomial that is 1 at one of the parties and 0 at the others. */
function lagrangeBasis(ring: GaloisRing, parties: readonly number[], one: number): Element[] {
  return parties
    .filter((party) => party !== one)
    .reduce<Element[]>(
      (product, party) => {
        const scale = invert(ring, ring.sub(point(one), point(party)));
        const factor = [ring.mul(ring.sub(ring.zero, point(party)), scale), scale];
        return Array.from({ length: product.length + 1 }, (_, i) =>
          ring.add(
            ring.mul(product[i] ?? ring.zero, factor[0] ?? ring.zero),
            ring.mul(product[i - 1] ?? ring.zero, factor[1] ?? ring.zero),
          ),
        );
      },
      [ring.one],
    );
}
