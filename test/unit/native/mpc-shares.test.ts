/** Shares of the secret keys of a key set: stored form, dealt key sets, hostile bytes. */
import { inspect } from 'node:util';
import t from 'tap';
import { type DealtKeySet, dealKeySet, KeyShares, MaskKeys, setsOf, splitKey } from '../../../native/engine/index.ts';
import { testKeySet } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';

/** Equality of large byte strings, without a listing of their differences. */
const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

const TAG = new Uint8Array(32).fill(0xa1);

t.test('splits a whole key for all parties, and shares come back from their stored form', async (t) => {
  const { key } = await testKeySet(t);
  for (const [n, threshold] of [
    [4, 1],
    [13, 4],
  ] as const) {
    const all = splitKey({ key, n, t: threshold, provenance: 'imported' });
    const sharingId = present(all[0]).sharingId;
    t.equal(all.length, n);
    for (const [index, shares] of all.entries()) {
      const metadata = new Uint8Array([1, 2, 3]);
      const bytes = shares.encode(metadata);
      const read = KeyShares.fromBytes(bytes);
      for (const each of [shares, read]) {
        t.same(
          [each.n, each.t, each.party, each.params, each.provenance],
          [n, threshold, index + 1, 'test', 'imported'],
        );
        t.same(each.sharingId, sharingId, 'one sharing');
        t.same(each.tag, TAG, 'the tag of the key');
      }
      t.same([shares.metadata.length, read.metadata], [0, metadata], 'metadata is kept beside');
      t.ok(equal(read.encode(metadata), bytes), 'the same bytes again');
      shares.dispose();
      read.dispose();
    }
  }
  const [first] = splitKey({ key, n: 4, t: 1, provenance: 'dealt' });
  const [again] = splitKey({ key, n: 4, t: 1, provenance: 'dealt' });
  t.notSame(first?.sharingId, again?.sharingId, 'each sharing has an id of its own');
  t.notOk(equal(present(first).encode(), present(again).encode()), 'and other shares');
});

t.test('a dealt key set is the same at all parties, and its shares belong together', async (t) => {
  const options = {
    params: 'test',
    seed: new Uint8Array(32).fill(9),
    tag: TAG,
    layout: 'compressed',
    n: 4,
    t: 1,
    provenance: 'developer',
  } as const;
  const digestTag = new TextEncoder().encode('PDAT_KEY');
  const one = await dealKeySet({ ...options, party: 1 });
  const two = await dealKeySet({ ...options, party: 2 });
  const twice = await dealKeySet({ ...options, party: 2 });
  const other = await dealKeySet({ ...options, party: 1, seed: new Uint8Array(32).fill(8) });
  const digests = async ({ objects }: DealtKeySet) =>
    Promise.all(
      objects.map(async ({ type, bytes }) => [type, Buffer.from(await bytes.digest(digestTag)).toString('hex')]),
    );
  t.same(await digests(one), await digests(two), 'public objects are equal, byte for byte');
  t.notSame(await digests(one), await digests(other), 'another seed gives another key');
  t.same(one.shares.sharingId, two.shares.sharingId, 'one sharing');
  t.notSame(one.shares.sharingId, other.shares.sharingId);
  t.ok(equal(two.shares.encode(), twice.shares.encode()), 'the same party has the same shares');
  t.notOk(equal(one.shares.encode(), two.shares.encode()), 'another party has others');
  t.same([one.shares.party, two.shares.party, one.shares.provenance], [1, 2, 'developer']);
  t.same(one.shares.tag, TAG);
});

t.test('refuses deals and splits that make no sense', async (t) => {
  const { key } = await testKeySet(t);
  const invalid = { code: 'REQUEST_INVALID' };
  for (const [n, threshold] of [
    [3, 1],
    [0, 0],
    [16, 1],
  ] as const) {
    t.throws(() => splitKey({ key, n, t: threshold, provenance: 'dealt' }), invalid, `${n} parties`);
  }
  const options = { params: 'test', tag: TAG, layout: 'compressed', n: 4, t: 1, provenance: 'developer' } as const;
  await t.rejects(dealKeySet({ ...options, seed: new Uint8Array(31), party: 1 }), invalid, 'a short seed');
  await t.rejects(dealKeySet({ ...options, seed: new Uint8Array(32), party: 5 }), invalid, 'party 5 of 4');
});

t.test('refuses damaged shares', async (t) => {
  const { key } = await testKeySet(t);
  const shares = present(splitKey({ key, n: 4, t: 1, provenance: 'distributed' })[0]);
  const bytes = shares.encode();
  for (let size = 0; size < bytes.length; size += size < 300 ? 1 : 4097) {
    t.throws(() => KeyShares.fromBytes(bytes.subarray(0, size)), { code: 'KEY_INVALID' }, `cut at ${size}`);
  }
  t.throws(() => KeyShares.fromBytes(new Uint8Array([...bytes, 0])), { code: 'KEY_INVALID' }, 'a byte more');
  for (let at = 0; at < 250; at++) {
    const damaged = bytes.slice();
    damaged[at] = (damaged[at] ?? 0) ^ 0x15;
    let read: KeyShares;
    try {
      read = KeyShares.fromBytes(damaged);
    } catch (error) {
      t.match(error, { code: 'KEY_INVALID' }, `byte ${at}`);
      continue;
    }
    t.ok(equal(read.encode(read.metadata), damaged), `byte ${at} is a value: it comes back`);
  }
  t.equal(inspect(shares), '[KeyShares]');
  t.equal(JSON.stringify(shares), '"[KeyShares]"');
  shares.dispose();
  t.throws(() => shares.encode(), { code: 'INTERNAL' }, 'gone once disposed of');
});

t.test('sets are the large subsets in order, and mask keys are one for each set that holds the party', async (t) => {
  t.same(setsOf(4, 1), [
    [1, 2, 3],
    [1, 2, 4],
    [1, 3, 4],
    [2, 3, 4],
  ]);
  t.equal(setsOf(13, 4).length, 715);
  t.throws(() => setsOf(4, 2), { code: 'REQUEST_INVALID' });
  const keys = (count: number, size = 32) => Array.from({ length: count }, () => new Uint8Array(size));
  for (const [why, options] of [
    ['too few', { n: 4, t: 1, party: 1, keys: keys(2) }],
    ['too many', { n: 4, t: 1, party: 1, keys: keys(4) }],
    ['too short', { n: 4, t: 1, party: 1, keys: keys(3, 16) }],
    ['party 5 of 4', { n: 4, t: 1, party: 5, keys: keys(3) }],
    ['party 0', { n: 4, t: 1, party: 0, keys: keys(3) }],
  ] as const) {
    t.throws(() => MaskKeys.fromKeys(options), { code: 'REQUEST_INVALID' }, why);
  }
  using masks = MaskKeys.fromKeys({ n: 4, t: 1, party: 4, keys: keys(3) });
  t.equal(inspect(masks), '[MaskKeys]');
});
