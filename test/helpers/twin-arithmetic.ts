/** The arithmetic of protocols, and the functions of PRSS, over the readable twin of the native kernels. Tests only. */
import { point } from '../../enclave/algebra/exceptional-sequence.ts';
import type { Element, GaloisRing } from '../../enclave/algebra/galois-ring.ts';
import { setPolynomialAt } from '../../enclave/algebra/prss-sets.ts';
import { decodeVector, encodeVector } from '../../enclave/algebra/ring-encoding.ts';
import { openRobust } from '../../enclave/algebra/robust-decoding.ts';
import { chi, derivePrfKey, prssDigest, psi } from '../../enclave/algebra/set-prf.ts';
import { evaluate, shareBivariate } from '../../enclave/algebra/shamir.ts';
import { extract } from '../../enclave/algebra/vandermonde.ts';
import type { Arithmetic, RingVector } from '../../enclave/mpc/arithmetic.ts';
import { partySets } from '../../enclave/mpc/party-sets.ts';
import type { PrssKeys } from '../../enclave/mpc/protocols/prss-setup.ts';
import type { PrssFamily, PrssFunctions } from '../../enclave/mpc/prss-draws.ts';

/** A vector of the twin's elements. */
export interface TwinVector extends RingVector {
  readonly elements: readonly Element[];
}

const vector = (elements: readonly Element[]): TwinVector => ({
  elements,
  length: elements.length,
  dispose: () => undefined,
});

/** Returns the arithmetic of a ring; `random` makes it repeatable. */
export function twinArithmetic(ring: GaloisRing, random: (sizeBytes: number) => Uint8Array): Arithmetic<TwinVector> {
  const elementBytes = ring.bits / 2;
  const decode = (bytes: Uint8Array): TwinVector => vector(decodeVector(ring, bytes));
  const randomVector = (length: number): TwinVector => decode(random(length * elementBytes));
  const at = ({ elements }: TwinVector, index: number): Element => elements[index] ?? ring.zero;
  return {
    elementBytes,
    zero: (length) => vector(Array.from({ length }, () => ring.zero)),
    random: randomVector,
    decode,
    encode: ({ elements }) => encodeVector(ring, elements),
    add: (a, b) => vector(a.elements.map((element, index) => ring.add(element, at(b, index)))),
    slice: ({ elements }, from, to) => vector(elements.slice(from, to)),
    concat: (parts) => vector(parts.flatMap(({ elements }) => elements)),
    equals: (a, b) => a.length === b.length && a.elements.every((element, index) => ring.equals(element, at(b, index))),
    shareBivariate: (secret, n, t) => {
      const dealt = secret.elements.map((element) => {
        const coefficients = Array.from({ length: t + 1 }, () => randomVector(t + 1).elements.slice());
        if (coefficients[0]) coefficients[0][0] = element;
        return shareBivariate(ring, coefficients, n);
      });
      const gather = (what: 'rows' | 'columns') =>
        Array.from({ length: n }, (_, party) =>
          Array.from({ length: t + 1 }, (_, k) => vector(dealt.map((one) => one[what][party]?.[k] ?? ring.zero))),
        );
      return { rows: gather('rows'), columns: gather('columns') };
    },
    evaluate: (coefficients, party) => {
      const length = coefficients[0]?.length ?? 0;
      return vector(
        Array.from({ length }, (_, index) =>
          evaluate(
            ring,
            coefficients.map((coefficient) => at(coefficient, index)),
            point(party),
          ),
        ),
      );
    },
    extract: (vectors, n, t) => {
      const length = vectors[0]?.length ?? 0;
      const columns = Array.from({ length }, (_, index) =>
        extract(
          ring,
          vectors.map((one) => at(one, index)),
          t,
        ),
      );
      return Array.from({ length: n - t }, (_, output) => vector(columns.map((column) => column[output] ?? ring.zero)));
    },
    open: async ({ degree, maxErrors, shares }) => {
      const length = shares.values().next().value?.length ?? 0;
      const opened = Array.from({ length }, (_, index) =>
        openRobust(ring, degree, new Map([...shares].map(([party, share]) => [party, at(share, index)])), maxErrors),
      );
      const found = opened.filter((one) => one !== undefined);
      if (found.length < length) return undefined;
      return {
        value: vector(found.map(({ value }) => value)),
        liars: [...new Set(found.flatMap(({ liars }) => liars))].sort((a, b) => a - b),
      };
    },
  };
}

/** Returns the functions of a party's keys in a session. */
export function twinPrss(
  ring: GaloisRing,
  { n, t, party: me, keys }: PrssKeys,
  sessionId: Uint8Array,
): PrssFunctions<TwinVector> {
  const sets = partySets(n, t);
  const held = new Map(
    [...sets.keys()].filter((set) => sets[set]?.includes(me)).map((set, index) => [set, keys[index]]),
  );
  const alpha = (party: number, power: number): Element =>
    Array.from({ length: power }, () => point(party)).reduce(ring.mul, ring.one);
  const value = (family: PrssFamily, set: number, counter: bigint): Uint8Array => {
    const prfKey = derivePrfKey(
      held.get(set) ?? new Uint8Array(),
      prssDigest(family === 'prss' ? 'psi' : 'chi', sessionId),
    );
    if (family === 'prss') return encodeVector(ring, [psi(ring, prfKey, counter)]);
    return encodeVector(
      ring,
      Array.from({ length: t }, (_, j) => chi(ring, prfKey, counter, j + 1)),
    );
  };
  const share = (family: PrssFamily, party: number, valueFor: (set: number) => Uint8Array): TwinVector => {
    const terms = [...sets.entries()]
      .filter(([, members]) => members.includes(party))
      .map(([set, members]) => {
        const values = decodeVector(ring, valueFor(set));
        const sum = ring.sum(values.map((each, j) => ring.mul(each, alpha(party, family === 'prss' ? 0 : j + 1))));
        return ring.mul(setPolynomialAt(ring, n, members, point(party)), sum);
      });
    return vector([ring.sum(terms)]);
  };
  return {
    sets,
    share,
    valueBytes: (family) => (ring.bits / 2) * (family === 'prss' ? 1 : t),
    draw: (family, counter) => share(family, me, (set) => value(family, set, counter)),
    values: (family, counter) => new Map([...held.keys()].map((set) => [set, value(family, set, counter)])),
  };
}
