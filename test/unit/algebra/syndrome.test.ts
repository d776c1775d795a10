/** Syndromes say whether a word is a codeword, and which errors it has, and nothing else. */
import fc from 'fast-check';
import t from 'tap';
import { type Element, GR64, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { share } from '../../../enclave/algebra/shamir.ts';
import { decodeSyndrome, syndrome } from '../../../enclave/algebra/syndrome-decoding.ts';
import { elements, partySets, polynomials, QUORUMS } from './arbitraries.ts';

t.test('the syndrome is zero for codewords, and depends on the error alone', async (t) => {
  for (const ring of [GR64, GR128]) {
    for (const [n, threshold] of QUORUMS) {
      const word = fc.array(elements(ring), { minLength: n, maxLength: n });
      fc.assert(
        fc.property(polynomials(ring, threshold + 1), word, (f, error) => {
          const codeword = share(ring, f, n);
          const damaged = codeword.map((c, i) => ring.add(c, error[i] ?? ring.zero));
          t.ok(syndrome(ring, codeword, threshold).every((s) => ring.equals(s, ring.zero)));
          t.same(syndrome(ring, damaged, threshold), syndrome(ring, error, threshold));
        }),
        { numRuns: 3 },
      );
    }
  }
});

t.test('errors of up to t parties are found from their syndrome', async (t) => {
  for (const ring of [GR64, GR128]) {
    for (const [n, threshold] of QUORUMS) {
      const lies = fc.array(elements(ring), { maxLength: threshold });
      fc.assert(
        fc.property(partySets(n, threshold), lies, (liars, added) => {
          const error = new Array<Element>(n).fill(ring.zero);
          added.forEach((lie, i) => {
            error[(liars[i] ?? 1) - 1] = lie;
          });
          t.same(decodeSyndrome(ring, syndrome(ring, error, threshold), n, threshold), error);
        }),
        { numRuns: 3 },
      );
    }
  }
});

t.test('a syndrome of too many errors gives nothing, or errors of at most t parties that have it', async (t) => {
  const [n, threshold] = [7, 2];
  fc.assert(
    fc.property(fc.array(elements(GR128), { minLength: n, maxLength: n }), (error) => {
      const given = syndrome(GR128, error, threshold);
      const found = decodeSyndrome(GR128, given, n, threshold);
      if (found === undefined) return true;
      const wrong = found.filter((e) => !GR128.equals(e, GR128.zero)).length;
      return wrong <= threshold && syndrome(GR128, found, threshold).every((s, j) => GR128.equals(s, given[j] ?? s));
    }),
    { numRuns: 30 },
  );
  t.pass('1 property');
});
