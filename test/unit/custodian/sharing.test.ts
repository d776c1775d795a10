/**
 * Sharing among custodians: against the readable arithmetic of the Galois ring, and with every wrong input.
 */
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import type { RandomSource } from '../../../common/random.ts';
import { systemRandom } from '../../../common/random.ts';
import { point } from '../../../enclave/algebra/exceptional-sequence.ts';
import { type Element, GR64 } from '../../../enclave/algebra/galois-ring.ts';
import { evaluate } from '../../../enclave/algebra/shamir.ts';
import { checkSharingShape, reconstructSecret, shareSecret } from '../../../wire/custodian/sharing.ts';

const invalid = { code: 'REQUEST_INVALID' };
const shapes = fc
  .integer({ min: 3, max: 15 })
  .chain((custodians) =>
    fc.integer({ min: 1, max: Math.ceil(custodians / 2) - 1 }).map((threshold) => ({ custodians, threshold })),
  );
const secrets = fc.uint8Array({ maxLength: 100 });

/** Coefficients of an element, low ones first. */
function elementOf(bytes: Uint8Array): Element {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 32);
  const word = (k: number): bigint => view.getBigUint64(8 * k, true);
  return [word(0), word(1), word(2), word(3)];
}

t.test('any t + 1 shares give the secret back', async (t) => {
  fc.assert(
    fc.property(shapes, secrets, fc.nat(), (shape, secret, salt) => {
      const shares = shareSecret(secret, shape, systemRandom).map((share, index) => [index + 1, share] as const);
      // A different choice of custodians each time, in any order.
      const chosen = shares
        .toSorted(([a], [b]) => ((a * (salt + 7)) % 31) - ((b * (salt + 7)) % 31))
        .slice(0, shape.threshold + 1);
      return toHex(reconstructSecret(new Map(chosen), shape.threshold)) === toHex(secret);
    }),
    { numRuns: 60 },
  );
  t.pass();
});

t.test('shares are values of polynomials over the Galois ring, block by block', async (t) => {
  fc.assert(
    fc.property(shapes, secrets, (shape, secret) => {
      const drawn: Uint8Array[] = [];
      const random: RandomSource = (sizeBytes) => {
        const bytes = systemRandom(sizeBytes);
        drawn.push(Uint8Array.from(bytes));
        return bytes;
      };
      const shares = shareSecret(secret, shape, random);
      const padding = 32 - (secret.byteLength % 32);
      const padded = Buffer.concat([secret, Buffer.alloc(padding, padding)]);
      const coefficients = Buffer.concat(drawn);
      return shares.every((share, index) =>
        Array.from({ length: padded.byteLength / 32 }, (_, block) => {
          const first = block * shape.threshold;
          const polynomial = [
            elementOf(padded.subarray(32 * block)),
            ...Array.from({ length: shape.threshold }, (_, d) => elementOf(coefficients.subarray(32 * (first + d)))),
          ];
          return GR64.equals(
            evaluate(GR64, polynomial, point(index + 1)),
            elementOf(share.subarray(32 * block, 32 * block + 32)),
          );
        }).every(Boolean),
      );
    }),
    { numRuns: 30 },
  );
  t.pass();
});

t.test('one share more finds a share that was changed', async (t) => {
  const shape = { custodians: 5, threshold: 2 };
  const shares = new Map(shareSecret(Buffer.from('secret'), shape, systemRandom).map((share, i) => [i + 1, share]));
  for (const role of [1, 2, 3, 4]) {
    const changed = new Map([...shares].filter(([other]) => other !== 5));
    changed.set(role, Uint8Array.from(shares.get(role) ?? []).with(7, 0x55 ^ (shares.get(role)?.[7] ?? 0)));
    t.throws(() => reconstructSecret(changed, 2), invalid, `share ${role}`);
  }
});

t.test('t shares do not even give an answer, and t + 1 of another polynomial none that is right', async (t) => {
  const shape = { custodians: 3, threshold: 1 };
  const [one = new Uint8Array(), two = new Uint8Array()] = shareSecret(new Uint8Array(40).fill(9), shape, systemRandom);
  t.throws(() => reconstructSecret(new Map([[1, one]]), 1), invalid);
  t.throws(() => reconstructSecret(new Map(), 1), invalid);
  t.throws(() => reconstructSecret(new Map([[1, one]]), 0), invalid, 'a threshold of nobody');
  t.throws(
    () =>
      reconstructSecret(
        new Map([
          [1, one],
          [2, two.subarray(32)],
        ]),
        1,
      ),
    invalid,
    'lengths',
  );
  t.throws(
    () =>
      reconstructSecret(
        new Map([
          [1, one.subarray(1)],
          [2, two.subarray(1)],
        ]),
        1,
      ),
    invalid,
    'no elements',
  );
  t.throws(
    () =>
      reconstructSecret(
        new Map([
          [1, new Uint8Array(0)],
          [2, new Uint8Array(0)],
        ]),
        1,
      ),
    invalid,
    'empty',
  );
});

t.test('shapes in which honest custodians are no majority are refused', async (t) => {
  for (const [custodians, threshold] of [
    [2, 1],
    [3, 0],
    [4, 2],
    [3, 2],
    [16, 1],
    [3, 1.5],
    [0, 0],
    [3, -1],
  ] as const) {
    t.throws(() => checkSharingShape({ custodians, threshold }), invalid, `${custodians}, ${threshold}`);
  }
  t.doesNotThrow(() => checkSharingShape({ custodians: 15, threshold: 7 }));
});
