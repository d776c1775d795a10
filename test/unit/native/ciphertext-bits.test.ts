/**
 * Every bit of a ciphertext but its coefficients is checked: flipped one by one, all are refused that are not listed here.
 * What may differ: a block's degree up to 15 and noise level up to 5, a version that is older, and the tag.
 */
import t from 'tap';
import { isKmsError } from '../../../common/errors.ts';
import { publicDecryptSync } from '../../../native/engine/index.ts';
import { FORMATS, testKeySet } from '../../helpers/fhe-key-set.ts';

const { key, evaluation } = await testKeySet(t);
const [BOOL, UINT4] = [0, 1];
const ALL = '11111111';
const TAG_BYTES = 32;
/** The lowest bits of a number that is below 16; those of a noise level of 1; the lowest bit. */
const [DEGREE, NOISE, LOWEST] = ['11110000', '11100000', '10000000'];

/** Rows of bytes whose bits, lowest first, may be flipped: from, to, which. */
type Free = readonly (readonly [from: number, to: number, bits: string])[];

function freeBits(good: Uint8Array, fheType: number, format: number): Free {
  const rows: [number, number, string][] = [];
  for (const at of good.keys()) {
    let bits = '';
    for (let bit = 0; bit < 8; bit++) bits += isTaken(good.with(at, (good[at] ?? 0) ^ (1 << bit))) ? '1' : '0';
    const last = rows.at(-1);
    if (last?.[1] === at - 1 && last[2] === bits) last[1] = at;
    else if (bits !== '00000000') rows.push([at, at, bits]);
  }
  return rows;

  function isTaken(ciphertext: Uint8Array): boolean {
    try {
      publicDecryptSync(key, [{ ciphertext, fheType, format }]);
      return true;
    } catch (error) {
      if (!isKmsError(error, 'CIPHERTEXT_INVALID')) throw error;
      return false;
    }
  }
}

/** Where coefficients begin, how many bits they have, and what else is free before the tag. */
const EXPECTED: readonly (readonly [format: number, fheType: number, from: number, bits: number, rest: Free])[] = [
  // 256 + blocks coefficients of 9 bits, then the version of the data kind.
  [0, BOOL, 110, 257 * 9, [[583, 583, LOWEST]]],
  [0, UINT4, 110, 258 * 9, [[583, 583, LOWEST]]],
  [
    1,
    BOOL,
    85,
    257 * 64,
    [
      [2173, 2173, DEGREE],
      [2185, 2185, NOISE],
    ],
  ],
  [2, BOOL, 123, 257 * 128, [[4368, 4368, LOWEST]]],
  [2, UINT4, 123, 257 * 128, [[4368, 4368, LOWEST]]],
  // The state says which key it is under; with these parameters both have the same size.
  [
    3,
    BOOL,
    98,
    257 * 128,
    [
      [4242, 4242, DEGREE],
      [4278, 4278, LOWEST],
    ],
  ],
  [
    3,
    UINT4,
    106,
    257 * 128,
    [
      [4250, 4250, DEGREE],
      [4294, 4294, LOWEST],
    ],
  ],
];

for (const [format, fheType, from, bits, rest] of EXPECTED) {
  t.test(`${FORMATS[format]}, type ${fheType}`, async (t) => {
    const good = await evaluation.encrypt(1n, fheType, format);
    const whole = from + Math.floor(bits / 8);
    const begun = bits % 8 === 0 ? [] : [[whole, whole, '1'.repeat(bits % 8).padEnd(8, '0')] as const];
    const found = freeBits(good, fheType, format);
    t.strictSame(found.slice(0, -1), [[from, whole - 1, ALL], ...begun, ...rest]);
    const [tagFrom = 0, tagTo = 0, which] = found.at(-1) ?? [];
    t.same([tagTo - tagFrom + 1, which], [TAG_BYTES, ALL], 'the tag');
  });
}

t.test('two blocks of a SmallExpanded ciphertext are checked alike', async (t) => {
  const found = freeBits(await evaluation.encrypt(1n, UINT4, 1), UINT4, 1);
  const block = (at: number): Free => [
    [at, at + 257 * 8 - 1, ALL],
    [at + 257 * 8 + 32, at + 257 * 8 + 32, DEGREE],
    [at + 257 * 8 + 44, at + 257 * 8 + 44, NOISE],
  ];
  t.strictSame(found.slice(0, -1), [...block(93), ...block(2257)]);
});
