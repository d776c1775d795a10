/** Masked shares and openings of the native engine are the twin's, byte by byte, for real ciphertexts of test size. */
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { systemRandom } from '../../../common/random.ts';
import { openingBound, partialDecrypt, readBlocks, recompose } from '../../../enclave/algebra/decryption.ts';
import { type Element, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import type { MaskNames } from '../../../enclave/algebra/mask-digest.ts';
import { decodeVector, encodeVector } from '../../../enclave/algebra/ring-encoding.ts';
import { openRobust } from '../../../enclave/algebra/robust-decoding.ts';
import * as native from '../../../native/engine/index.ts';
import { fromLittleEndian, TYPE_BITS, testKeySet } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { readCompressed, readExpanded, readKeyShare } from './native-objects.ts';
import { keyedSets, setUps } from './set-ups.ts';

const { key, evaluation } = await testKeySet(t);
/** Coefficients of both squashed keys at test size, in one polynomial. */
const DIMENSION = 256;
const [BIG_COMPRESSED, BIG_EXPANDED] = [2, 3];

/** All parties natively and in the twin, with the same keys. */
function quorum(n: number, threshold: number) {
  const sets = keyedSets(n, threshold);
  const shares = native.splitKey({ key, n, t: threshold, provenance: 'developer' });
  return setUps(n, threshold, sets).map((setUp, i) => {
    const own = present(shares[i]);
    const keys = setUp.held.map(({ key: bytes }) => bytes);
    const masks = native.MaskKeys.fromKeys({ n, t: threshold, party: setUp.party, keys });
    t.teardown(() => {
      own.dispose();
      masks.dispose();
    });
    return { setUp, shares: own, masks, stored: own.encode() };
  });
}

for (const [n, threshold, types] of [
  [4, 1, [0, 2, 3, 5]],
  [7, 2, [4]],
] as const) {
  const parties = quorum(n, threshold);
  const ids = { contextId: systemRandom(32), epochId: systemRandom(32), keyId: systemRandom(32) };
  const names: MaskNames = {
    context: ids.contextId,
    epoch: ids.epochId,
    sharingId: present(parties[0]).shares.sharingId,
    keyId: ids.keyId,
  };

  for (const fheType of types) {
    const bits = TYPE_BITS[fheType];
    for (const format of [BIG_COMPRESSED, BIG_EXPANDED]) {
      t.test(`${n} parties, ${bits} bits, format ${format}: the native answers are the twin's`, async (t) => {
        const blocks = Math.ceil(bits / 4);
        const value = BigInt.asUintN(bits, fromLittleEndian(systemRandom(32)));
        const item = { ciphertext: await evaluation.encrypt(value, fheType, format), fheType, format };
        const [ciphertext, kind] =
          format === BIG_COMPRESSED
            ? ([readCompressed(item.ciphertext, DIMENSION, DIMENSION), 'squashCompression'] as const)
            : ([readExpanded(item.ciphertext, blocks, fheType === 0), 'squash'] as const);
        const contributions = new Map<number, Uint8Array>();
        for (const { setUp, shares, masks, stored } of parties) {
          const [answer] = await native.partialDecrypt({ shares, masks, ...ids, items: [item] });
          const twin = partialDecrypt(readKeyShare(stored, kind), setUp, names, kind, ciphertext);
          t.equal(toHex(present(answer)), toHex(encodeVector(GR128, twin)), `party ${setUp.party}`);
          contributions.set(setUp.party, present(answer));
        }

        const opened = present(contributions.get(1)).byteLength / 64;
        const elements = Array.from({ length: opened }, (_, e): Element => {
          const shares = new Map([...contributions].map(([i, bytes]) => [i, present(decodeVector(GR128, bytes)[e])]));
          return present(openRobust(GR128, threshold, shares, threshold)).value;
        });
        const found = present(readBlocks(elements, blocks, openingBound(n, threshold)), 'blocks within the bound');
        t.equal(recompose(found, bits), value, 'the twin opens it');
        const plain = await native.openDecryption({ n, t: threshold, fheType, format, contributions });
        t.equal(fromLittleEndian(present(plain).plaintext), value, 'and so does the engine');
      });
    }
  }
}

t.test('the engine refuses what the twin refuses: values off every block, fillers that are not zero', async (t) => {
  const bound = openingBound(4, 1);
  const open = async (element: Element): Promise<bigint | undefined> => {
    const bytes = encodeVector(GR128, [element]);
    const contributions = new Map([1, 2, 3, 4].map((party) => [party, bytes]));
    const plain = await native.openDecryption({ n: 4, t: 1, fheType: 2, format: BIG_COMPRESSED, contributions });
    return fromLittleEndian(present(plain).plaintext);
  };
  const delta = 1n << 123n;
  for (const off of [0n, bound, -bound, bound + 1n, -bound - 1n, delta / 2n, 8n * delta, 16n * delta]) {
    for (const [index, count] of [
      [0, 2],
      [1, 2],
      [2, 2],
    ] as const) {
      const words = [0n, 0n, 0n, 0n].map((_, j) => GR128.word((j < 2 ? 3n * delta : 0n) + (j === index ? off : 0n)));
      const element: Element = [words[0] ?? 0n, words[1] ?? 0n, words[2] ?? 0n, words[3] ?? 0n];
      const twin = readBlocks([element], count, bound);
      if (twin === undefined) await t.rejects(open(element), { code: 'ABORTED' }, `${off} at ${index}`);
      else t.equal(await open(element), recompose(twin, 8), `${off} at ${index}`);
    }
  }
});
