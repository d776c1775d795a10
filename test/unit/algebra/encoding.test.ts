/** Bytes of ring elements, and packing. */
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { GR64, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { isScalar, pack, unpack } from '../../../enclave/algebra/packing.ts';
import { decodeElement, decodeVector, encodeElement, encodeVector } from '../../../enclave/algebra/ring-encoding.ts';
import { interpolate, share } from '../../../enclave/algebra/shamir.ts';
import { elements } from './arbitraries.ts';

t.test('elements are read as they were written, in bytes of the right number', async (t) => {
  for (const ring of [GR64, GR128]) {
    fc.assert(
      fc.property(fc.array(elements(ring), { maxLength: 5 }), (vector) => {
        const bytes = encodeVector(ring, vector);
        t.equal(bytes.byteLength, (vector.length * ring.bits) / 2);
        t.same(decodeVector(ring, bytes), vector);
        t.equal(toHex(bytes), vector.map((element) => toHex(encodeElement(ring, element))).join(''));
      }),
    );
    for (const cut of [1, ring.bits / 2 - 1, ring.bits / 2 + 1]) {
      t.throws(() => decodeVector(ring, new Uint8Array(cut)), { code: 'REQUEST_INVALID' }, `${cut} bytes`);
    }
    t.throws(() => decodeElement(ring, new Uint8Array(0)), { code: 'REQUEST_INVALID' });
  }
});

t.test('coefficients are little-endian, the constant one first', async (t) => {
  t.equal(toHex(encodeElement(GR64, [0x0102n, 1n, 0n, 1n << 63n])), `0201${'00'.repeat(6)}01${'00'.repeat(22)}80`);
});

t.test('four scalars are packed into one element, and packed shares open to packed scalars', async (t) => {
  const words = fc.array(fc.bigInt({ min: 0n, max: GR128.modulus - 1n }), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(words, (scalars) => {
      const secrets = scalars.map((word) => GR128.scalar(word));
      t.ok(secrets.every(isScalar));
      t.same(unpack(pack(GR128, secrets)), scalars);
      const shares = secrets.map((secret) => share(GR128, [secret, [9n, 8n, 7n, 6n]], 4));
      const packed = [2, 4].map((party): [number, ReturnType<typeof pack>] => [
        party,
        pack(
          GR128,
          shares.map((of) => of[party - 1] ?? GR128.zero),
        ),
      ]);
      const opened = [0, 1].map((e) => interpolate(GR128, new Map(packed.map(([i, p]) => [i, p[e] ?? GR128.zero]))));
      t.same(unpack(opened), scalars);
    }),
    { numRuns: 20 },
  );
  t.throws(() => pack(GR128, [GR128.one]), RangeError, 'a group that is not full');
  t.notOk(isScalar([1n, 0n, 0n, 1n]));
});
