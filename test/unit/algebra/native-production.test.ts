/**
 * The native dot products at production size are the twin's, modulo 2^128, for random words and for those where
 * carries and sign go wrong first. The shares and ciphertexts are of no key: only the arithmetic is looked at.
 */
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { systemRandom } from '../../../common/random.ts';
import { partialDecrypt } from '../../../enclave/algebra/decryption.ts';
import { GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { decodeVector, decodeWord, encodeVector, encodeWord } from '../../../enclave/algebra/ring-encoding.ts';
import type { Squashed } from '../../../enclave/algebra/squashed-ciphertext.ts';
import * as native from '../../../native/engine/index.ts';
import { present } from '../../helpers/present.ts';
import { NAMES } from './ciphertexts.ts';
import { PACKED, SQUASH_SIZE, writeCompressed, writeExpanded, writeKeyShares } from './native-writers.ts';
import { keyedSets, setUpOf } from './set-ups.ts';

const [SQUASH, SQUASH_COMPRESSION] = [4, 5];
const EXTREMES = [0n, 1n, GR128.modulus - 1n, 1n << 127n, (1n << 104n) - 1n, ((1n << 52n) - 1n) << 52n, 1n << 52n];

/** Bytes of words, by kind of them. */
const FILLS: Readonly<Record<string, (sizeBytes: number) => Uint8Array>> = {
  random: systemRandom,
  'all bits one': (sizeBytes) => new Uint8Array(sizeBytes).fill(0xff),
  extreme: (sizeBytes) => {
    const choice = systemRandom(sizeBytes / 16);
    const out = new Uint8Array(sizeBytes);
    choice.forEach((byte, i) => {
      out.set(encodeWord(EXTREMES[byte % EXTREMES.length] ?? 0n, 16), 16 * i);
    });
    return out;
  },
};
const wordsOf = (bytes: Uint8Array): bigint[] =>
  Array.from({ length: bytes.byteLength / 16 }, (_, i) => decodeWord(bytes.subarray(16 * i, 16 * i + 16)));

const sets = keyedSets(4, 1);
const setUp = setUpOf(4, 1, 3, sets);
const masks = native.MaskKeys.fromKeys({ n: 4, t: 1, party: 3, keys: setUp.held.map(({ key }) => key) });
t.teardown(() => masks.dispose());

/** Type numbers, blocks and words of packed ciphertexts. Rows 2, 16 and 40 take differently prepared forms of the key. */
const CASES = [
  ['random', [[5, 16, 'all bits one']]],
  [
    'extreme',
    [
      [2, 2, 'extreme'],
      [7, 40, 'random'],
    ],
  ],
] as const;

for (const [share, packings] of CASES) {
  const fill = present(FILLS[share]);
  const keys = new Map([SQUASH, SQUASH_COMPRESSION].map((kind) => [kind, fill(64 * (kind === SQUASH ? 4096 : 6144))]));
  const stored = writeKeyShares({
    n: 4,
    t: 1,
    party: 3,
    sharingId: NAMES.sharingId,
    bytesOf: (kind, sizeBytes) => keys.get(kind) ?? new Uint8Array(sizeBytes),
  });
  const shares = native.KeyShares.fromBytes(stored);
  t.teardown(() => shares.dispose());

  const same = async (fheType: number, bytes: Uint8Array, twin: Squashed, kind: number): Promise<boolean> => {
    const format = twin.format === 'BigCompressed' ? 2 : 3;
    const input = { shares, masks, contextId: NAMES.context, epochId: NAMES.epoch, keyId: NAMES.keyId };
    const [answer] = await native.partialDecrypt({ ...input, items: [{ ciphertext: bytes, fheType, format }] });
    const keyShare = decodeVector(GR128, present(keys.get(kind)));
    const name = kind === SQUASH ? 'squash' : 'squashCompression';
    const wanted = toHex(encodeVector(GR128, partialDecrypt(keyShare, setUp, NAMES, name, twin)));
    return toHex(present(answer)) === wanted;
  };

  t.test(`packed ciphertexts, share: ${share}`, async (t) => {
    for (const [fheType, blocks, of] of packings) {
      const all = wordsOf(present(FILLS[of])(16 * (PACKED.polynomials * PACKED.size + blocks)));
      const mask = Array.from({ length: PACKED.polynomials }, (_, p) =>
        all.slice(p * PACKED.size, (p + 1) * PACKED.size),
      );
      const packed = { mask, bodies: all.slice(-blocks) };
      const twin: Squashed = { format: 'BigCompressed', packed: [packed] };
      t.ok(await same(fheType, writeCompressed(packed), twin, SQUASH_COMPRESSION), `${blocks} blocks, ${of}`);
    }
  });

  t.test(`expanded ciphertexts under both keys, share: ${share}`, async (t) => {
    for (const [kind, size] of [
      [SQUASH, SQUASH_SIZE],
      [SQUASH_COMPRESSION, 6144],
    ] as const) {
      const samples = ['random', 'extreme'].map((of) => {
        const all = wordsOf(present(FILLS[of])(16 * (size + 1)));
        return { mask: all.slice(1), body: present(all[0]) };
      });
      const bytes = writeExpanded(samples, kind === SQUASH_COMPRESSION);
      t.ok(await same(2, bytes, { format: 'BigExpanded', samples }, kind), `key ${kind}`);
    }
  });
}
