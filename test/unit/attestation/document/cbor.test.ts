/** Strict and canonical CBOR, against RFC 8949's own examples and another implementation (cbor2). */
import { cdeEncodeOptions, decode as otherDecode, encode as otherEncode } from 'cbor2';
import fc from 'fast-check';
import t from 'tap';
import { type CborKey, type CborValue, decodeStrict, encodeCanonical } from '../../../../attestation/cbor.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const hexOf = (value: Uint8Array) => Buffer.from(value).toString('hex');
const LIMITS = { maxBytes: 100_000, maxDepth: 8 };
const decode = (hex: string, o = {}) => decodeStrict(bytes(hex), { ...LIMITS, ...o });

/** RFC 8949, appendix A: those of its examples that are in our subset. */
const EXAMPLES: readonly [string, CborValue][] = [
  ['00', 0],
  ['17', 23],
  ['1818', 24],
  ['1903e8', 1000],
  ['1a000f4240', 1_000_000],
  ['1b000000e8d4a51000', 1_000_000_000_000],
  ['1bffffffffffffffff', 18_446_744_073_709_551_615n],
  ['3bffffffffffffffff', -18_446_744_073_709_551_616n],
  ['20', -1],
  ['3903e7', -1000],
  ['f4', false],
  ['f5', true],
  ['f6', null],
  ['40', bytes('')],
  ['4401020304', bytes('01020304')],
  ['60', ''],
  ['6449455446', 'IETF'],
  ['62c3bc', 'ü'],
  ['64f0908591', '𐅑'],
  ['80', []],
  ['8301820203820405', [1, [2, 3], [4, 5]]],
  ['a0', new Map()],
  [
    'a201020304',
    new Map([
      [1, 2],
      [3, 4],
    ]),
  ],
  [
    'a26161016162820203',
    new Map<string, CborValue>([
      ['a', 1],
      ['b', [2, 3]],
    ]),
  ],
];

t.test('examples of RFC 8949 are written and read', async (t) => {
  for (const [hex, value] of EXAMPLES) {
    t.equal(hexOf(encodeCanonical(value)), hex, hex);
    t.same(decode(hex, { canonical: true }), value, hex);
  }
});

t.test('containers of indefinite length are read where they are allowed, and nowhere else', async (t) => {
  for (const [hex, value] of [
    ['9f018202039f0405ffff', [1, [2, 3], [4, 5]]],
    [
      'bf61610161629f0203ffff',
      new Map<string, CborValue>([
        ['a', 1],
        ['b', [2, 3]],
      ]),
    ],
    ['9fff', []],
  ] as const) {
    t.same(decode(hex, { allowIndefinite: true }), value, hex);
    t.throws(() => decode(hex), { code: 'REQUEST_INVALID' }, hex);
    t.throws(() => decode(hex, { allowIndefinite: true, canonical: true }), { code: 'REQUEST_INVALID' }, hex);
  }
});

t.test('what is not strict is refused', async (t) => {
  const rows: [string, string][] = [
    ['', 'nothing'],
    ['0000', 'trailing bytes'],
    ['18', 'a head that is cut'],
    ['1817', 'one byte where none is needed'],
    ['1900ff', 'two bytes where one is enough'],
    ['1a0000ffff', 'four bytes where two are enough'],
    ['1b00000000ffffffff', 'eight bytes where four are enough'],
    ['5800', 'a longer head of an empty string'],
    ['1c', 'a reserved head'],
    ['1f', 'an integer of indefinite length'],
    ['5f4100ff', 'bytes of indefinite length'],
    ['7f6161ff', 'text of indefinite length'],
    ['41', 'a string beyond the end'],
    ['5bffffffffffffffff', 'a string of 2^64 bytes'],
    ['9b0000000100000000', 'an array of 2^32 items'],
    ['bb0000000100000000', 'a map of 2^32 pairs'],
    ['a1', 'a map without its pair'],
    ['a100', 'a map that ends after a key'],
    ['a200010002', 'a key twice'],
    ['a2616101616102', 'a text key twice'],
    ['bf0001ff', 'no indefinite map unless allowed'],
    ['a1400a', 'a key of bytes'],
    ['a1f400', 'a key that is false'],
    ['a1810000', 'a key that is a list'],
    ['61ff', 'no UTF-8'],
    ['62c080', 'UTF-8 longer than needed'],
    ['63eda080', 'a lone surrogate'],
    ['c000', 'a tag'],
    ['d81843a10000', 'an embedded item'],
    ['c249010000000000000000', 'a big number'],
    ['f7', 'undefined'],
    ['e0', 'a simple value'],
    ['f818', 'a simple value of two bytes'],
    ['f93c00', 'a half float'],
    ['fa3f800000', 'a float'],
    ['fb3ff0000000000000', 'a double'],
    ['ff', 'a stray break'],
    ['81ff', 'a break in an array'],
  ];
  for (const [hex, why] of rows) t.throws(() => decode(hex), { code: 'REQUEST_INVALID' }, why);
  t.throws(() => decode('bf00ff', { allowIndefinite: true }), { code: 'REQUEST_INVALID' }, 'a break after a key');
});

t.test('size and depth are bounded before anything is built', async (t) => {
  t.same(decode('8181818100', { maxDepth: 4 }), [[[[0]]]]);
  t.throws(() => decode('8181818100', { maxDepth: 3 }), /nested deeper than 3/);
  t.throws(() => decode('81'.repeat(50_000), { maxDepth: 3 }), /nested deeper than 3/);
  t.throws(() => decode('bf00'.repeat(20_000), { maxDepth: 3, allowIndefinite: true }), /nested deeper than 3/);
  t.throws(() => decodeStrict(new Uint8Array(11), { maxBytes: 10, maxDepth: 1 }), /11 bytes, at most 10/);
});

t.test('only the canonical form of a map is canonical', async (t) => {
  t.same(
    decode('a2616202616101'),
    new Map([
      ['b', 2],
      ['a', 1],
    ]),
  );
  t.throws(() => decode('a2616202616101', { canonical: true }), /keys out of order/);
  // RFC 8949 §4.2.1: bytewise order of the encoded keys, not order of the numbers.
  const ordered = new Map<CborKey, CborValue>([
    [10, 1],
    [100, 2],
    [-1, 3],
    ['z', 4],
    ['aa', 5],
  ]);
  t.equal(hexOf(encodeCanonical(new Map([...ordered].reverse()))), 'a50a011864022003617a0462616105');
  t.same(decode('a50a011864022003617a0462616105', { canonical: true }), ordered);
});

t.test('what has no canonical form is not written', async (t) => {
  const rows: [string, CborValue][] = [
    ['a fraction', 1.5],
    ['a number beyond safe integers', 2 ** 53],
    ['not a number', Number.NaN],
    ['an integer beyond 64 bits', 2n ** 64n],
    ['a negative one', -(2n ** 64n) - 1n],
    ['a lone surrogate', '\ud800'],
    [
      'the same key as number and bigint',
      new Map<CborKey, CborValue>([
        [1, 0],
        [1n, 0],
      ]),
    ],
    ['undefined', JSON.parse('{}').missing],
  ];
  for (const [why, value] of rows) t.throws(() => encodeCanonical(value), { code: 'REQUEST_INVALID' }, why);
});

const scalar = fc.oneof(
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n }),
  fc.string({ unit: 'grapheme' }),
  fc.uint8Array({ maxLength: 300 }),
  fc.boolean(),
  fc.constant(null),
);
const key = fc.oneof(fc.integer({ min: -70_000, max: 70_000 }), fc.string({ unit: 'grapheme' }));
const value: fc.Arbitrary<CborValue> = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie('value'), { maxLength: 5 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 5 }).map((pairs) => new Map(pairs)),
  ),
})).value;

t.test('what is written is read back, and is the only form that canonical reading takes', async (t) => {
  fc.assert(
    fc.property(value, (item) => {
      const encoded = encodeCanonical(item);
      const again = encodeCanonical(decodeStrict(encoded, { ...LIMITS, canonical: true }));
      return hexOf(again) === hexOf(encoded);
    }),
  );
  t.pass('1 property');
});

t.test('another implementation writes the same bytes and reads the same values', async (t) => {
  fc.assert(
    fc.property(value, (item) => {
      const encoded = encodeCanonical(item);
      const other = otherEncode(item, { ...cdeEncodeOptions, collapseBigInts: true, avoidInts: false });
      const theirs: CborValue = otherDecode(encoded, { preferMap: true });
      return hexOf(other) === hexOf(encoded) && hexOf(encodeCanonical(theirs)) === hexOf(encoded);
    }),
  );
  t.pass('1 property');
});

t.test('any bytes are read or refused, and what canonical reading takes is written as it was', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (input) => {
      try {
        const item = decodeStrict(input, { ...LIMITS, canonical: true });
        return hexOf(encodeCanonical(item)) === hexOf(input);
      } catch (error) {
        return Object(error).code === 'REQUEST_INVALID';
      }
    }),
    { numRuns: 5000 },
  );
  t.pass('1 property');
});
