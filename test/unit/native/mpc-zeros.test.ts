/** Openings of zero: what they show, what they refuse, and that the twin makes the same shares byte by byte. */
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { decodeVector, decodeWord, encodeVector } from '../../../enclave/algebra/ring-encoding.ts';
import { openRobust } from '../../../enclave/algebra/robust-decoding.ts';
import { isMaskedZero, ZERO_KINDS, zeroMask, zeroShare } from '../../../enclave/algebra/zero-opening.ts';
import { type FheKey, MaskKeys, openZeros, splitKey, zeroShares } from '../../../native/engine/index.ts';
import { testKeySet } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { TEST_NAMES, testMaskKeys, thresholdParties } from '../../helpers/threshold-keys.ts';
import { readKeyShare } from '../algebra/native-objects.ts';
import { keyedSets, setUps } from '../algebra/set-ups.ts';

const { key } = await testKeySet(t);

async function contributionsOf(whole: FheKey, n: number, threshold: number): Promise<Map<number, Uint8Array>> {
  const parties = thresholdParties(t, whole, n, threshold);
  const entries = parties.map(async ({ party, shares, masks }) => {
    return [party, await zeroShares({ shares, masks, ...TEST_NAMES })] as const;
  });
  return new Map(await Promise.all(entries));
}

for (const [n, threshold] of [
  [4, 1],
  [7, 2],
  [13, 4],
] as const) {
  t.test(`${n} parties: zeros open, ${threshold} liars are named, one more is too many`, async (t) => {
    const contributions = await contributionsOf(key, n, threshold);
    t.equal(present(contributions.get(1)).byteLength, 2 * 64, 'two keys, unpacked');
    t.same(openZeros({ n, t: threshold, contributions }), []);
    const few = new Map([...contributions].slice(0, 2 * threshold));
    t.equal(openZeros({ n, t: threshold, contributions: few }), undefined, '2t are too few');
    const liars = Array.from({ length: threshold }, (_, i) => 2 * i + 1);
    for (const party of liars) {
      const own = present(contributions.get(party));
      contributions.set(party, party === 1 ? own.subarray(1) : own.with(17, (own[17] ?? 0) ^ 1));
    }
    t.same(openZeros({ n, t: threshold, contributions }), liars);
    contributions.set(n, new Uint8Array(128));
    t.equal(openZeros({ n, t: threshold, contributions }), undefined);
  });
}

t.test('masks of other set-ups, other names or other sharings do not open', async (t) => {
  const [n, threshold] = [4, 1];
  const parties = thresholdParties(t, key, n, threshold);
  const other = splitKey({ key, n, t: threshold, provenance: 'developer' });
  const mixed = {
    'masks of two set-ups': (party: number) => ({ masks: testMaskKeys(n, threshold, party, `of ${party % 2}`) }),
    'two epochs': (party: number) => ({ epochId: new Uint8Array(32).fill(party % 2) }),
    'shares of two sharings': (party: number) => (party % 2 ? { shares: present(other[party - 1]) } : {}),
  };
  for (const [what, change] of Object.entries(mixed)) {
    const contributions = new Map<number, Uint8Array>();
    for (const { party, shares, masks } of parties) {
      contributions.set(party, await zeroShares({ shares, masks, ...TEST_NAMES, ...change(party) }));
    }
    const opened = () => {
      if (openZeros({ n, t: threshold, contributions }) === undefined) throw new Error('nothing opens');
    };
    t.throws(opened, what);
  }
});

t.test("the engine's shares of zero are the twin's, and open in the twin", async (t) => {
  const [n, threshold, dimension] = [4, 1, 256];
  const sets = keyedSets(n, threshold);
  const shares = splitKey({ key, n, t: threshold, provenance: 'developer' });
  const opened = ZERO_KINDS.map(() => new Map<number, ReturnType<typeof zeroShare>>());
  for (const [index, setUp] of setUps(n, threshold, sets).entries()) {
    const own = present(shares[index]);
    const keys = setUp.held.map(({ key: bytes }) => bytes);
    const masks = MaskKeys.fromKeys({ n, t: threshold, party: setUp.party, keys });
    const stored = own.encode();
    const bodies = stored.subarray(-32);
    const names = {
      context: TEST_NAMES.contextId,
      epoch: TEST_NAMES.epochId,
      sharingId: own.sharingId,
      keyId: TEST_NAMES.keyId,
    };
    const twin = ZERO_KINDS.map((kind, at) => {
      const body = decodeWord(bodies.subarray(16 * at, 16 * (at + 1)));
      const sample = { mask: zeroMask(own.sharingId, kind, dimension), body };
      const share = zeroShare(readKeyShare(stored, kind), setUp, names, kind, sample);
      present(opened[at]).set(setUp.party, share);
      return share;
    });
    const native = await zeroShares({ shares: own, masks, ...TEST_NAMES });
    t.equal(toHex(native), toHex(encodeVector(GR128, twin)), `party ${setUp.party}`);
    t.equal(decodeVector(GR128, native).length, 2);
    masks.dispose();
  }
  for (const of of opened) {
    const { value } = present(openRobust(GR128, threshold, of, threshold));
    t.ok(isMaskedZero(value, n, threshold));
    t.notOk(isMaskedZero(GR128.add(value, GR128.element([0n, 0n, 1n, 0n])), n, threshold), 'no scalar');
    t.notOk(isMaskedZero(GR128.add(value, GR128.scalar(1n << 123n)), n, threshold), 'a one');
  }
});
