/** Vectors of ring elements, sharings and their robust opening, behind the native face. */
import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import {
  bivariateShare,
  combine,
  evaluate,
  extract,
  lagrangeWeights,
  openRobust,
  type Ring,
  ShareVector,
  shamirShare,
} from '../../../native/engine/index.ts';

const RINGS = [64, 128] as const;
const SIZES = [
  [4, 1],
  [7, 2],
  [13, 4],
] as const;

const elementBytes = (ring: Ring) => ring / 2;

/** Shares by party number, with some parties left out. */
function byParty(shares: readonly ShareVector[], without: readonly number[] = []): Map<number, ShareVector> {
  const all = shares.map((share, index) => [index + 1, share] as const);
  return new Map(all.filter(([party]) => !without.includes(party)));
}

t.test('vectors come back from their encoding as they were, in a buffer of their own', async (t) => {
  for (const ring of RINGS) {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 * elementBytes(ring) }), (raw) => {
        const bytes = raw.slice(0, raw.length - (raw.length % elementBytes(ring)));
        const vector = ShareVector.fromBytes(ring, bytes);
        const encoded = vector.encode();
        return (
          Buffer.compare(encoded, bytes) === 0 &&
          vector.length === bytes.length / elementBytes(ring) &&
          vector.ring === ring &&
          encoded.buffer.byteLength === encoded.length
        );
      }),
    );
  }
  t.pass('1 property in each ring');
});

t.test('sums, differences, slices and joins are what they should be', async (t) => {
  for (const ring of RINGS) {
    const [a, b] = [ShareVector.random(ring, 5), ShareVector.random(ring, 5)];
    t.ok(a.add(b).sub(b).equals(a), `${ring}: (a + b) - b = a`);
    t.notOk(a.equals(b), 'random vectors differ');
    t.ok(ShareVector.concat([a.slice(0, 2), a.slice(2, 5)]).equals(a), 'parts join to the whole');
    const one = new Uint8Array(elementBytes(ring)).fill(0);
    one[0] = 1;
    t.ok(a.scale(one).equals(a), 'one is one');
    t.ok(a.mul(b).equals(b.mul(a)), 'products commute');
    t.ok(combine([a, b], [one, one]).equals(a.add(b)), 'combination with ones is the sum');
  }
});

t.test('sharings open with silent parties and liars, who are named', async (t) => {
  for (const ring of RINGS) {
    for (const [n, threshold] of SIZES) {
      const secret = ShareVector.random(ring, 6);
      const shares = shamirShare(secret, n, threshold);
      const open = (given: ReadonlyMap<number, ShareVector>, maxErrors: number) =>
        openRobust({ degree: threshold, n, maxErrors, shares: given });
      const clean = await open(byParty(shares), threshold);
      t.ok(clean?.value.equals(secret), `${ring}, ${n} parties`);
      t.same(clean?.liars, [], 'no liar');
      const silent = Array.from({ length: threshold }, (_, index) => index + 2);
      t.ok((await open(byParty(shares, silent), 0))?.value.equals(secret), 't silent');

      const lying = byParty(shares);
      for (let liar = 1; liar <= threshold; liar++) lying.set(liar, ShareVector.random(ring, 6));
      const opened = await open(lying, threshold);
      t.ok(opened?.value.equals(secret), 't liars');
      t.same(
        opened?.liars,
        Array.from({ length: threshold }, (_, index) => index + 1),
        'named',
      );
      lying.set(n, ShareVector.random(ring, 6));
      t.equal(await open(lying, threshold), undefined, 't + 1 liars');
      t.equal(await open(byParty(shares, silent), threshold), undefined, 'no room for t errors');
    }
  }
});

t.test('sharings are linear, and interpolate at any point', async (t) => {
  for (const ring of RINGS) {
    const [a, b] = [ShareVector.random(ring, 3), ShareVector.random(ring, 3)];
    const [left, right] = [shamirShare(a, 7, 2), shamirShare(b, 7, 2)];
    const sums = left.map((share, index) => share.add(right[index] ?? share));
    const opened = await openRobust({ degree: 2, n: 7, maxErrors: 2, shares: byParty(sums) });
    t.ok(opened?.value.equals(a.add(b)), 'shares of a sum');
    const three = left.slice(0, 3);
    t.ok(combine(three, lagrangeWeights(ring, [1, 2, 3])).equals(a), 'at the secret');
    t.ok(combine(three, lagrangeWeights(ring, [1, 2, 3], 6)).equals(left[5] ?? a), 'at another party');
  }
});

t.test('rows and columns of a bivariate sharing agree, and rows share the secret', async (t) => {
  for (const [n, threshold] of SIZES) {
    const secret = ShareVector.random(128, 2);
    const { rows, columns } = bivariateShare(secret, n, threshold);
    for (const [i, row] of rows.entries()) {
      for (const [j, column] of columns.entries()) {
        if (!evaluate(row, j + 1).equals(evaluate(column, i + 1))) t.fail(`parties ${i + 1} and ${j + 1} disagree`);
      }
    }
    const shares = byParty(rows.map((row) => evaluate(row, 0)));
    const opened = await openRobust({ degree: threshold, n, maxErrors: threshold, shares });
    t.ok(opened?.value.equals(secret), `${n} parties`);
  }
});

t.test('extraction gives n - t vectors, the first the sum of all', async (t) => {
  const vectors = Array.from({ length: 7 }, () => ShareVector.random(64, 2));
  const out = extract(vectors, 2);
  t.equal(out.length, 5);
  const sum = vectors.reduce((total, vector) => total.add(vector));
  t.ok(out[0]?.equals(sum));
});

t.test('refuses what does not go together', async (t) => {
  const [small, large] = [ShareVector.random(64, 2), ShareVector.random(128, 2)];
  const invalid = { code: 'REQUEST_INVALID' };
  t.throws(() => small.add(large), invalid, 'other rings');
  t.throws(() => small.sub(ShareVector.random(64, 3)), invalid, 'other lengths');
  t.throws(() => small.scale(new Uint8Array(64)), invalid, 'an element of the other ring');
  t.throws(() => small.slice(1, 3), invalid, 'a slice that ends outside');
  t.throws(() => small.slice(2, 1), invalid, 'a slice backwards');
  t.throws(() => ShareVector.fromBytes(64, new Uint8Array(33)), invalid, 'half an element');
  t.throws(() => ShareVector.concat([]), invalid, 'nothing to join');
  t.throws(() => combine([small], []), invalid, 'no coefficient');
  t.throws(() => shamirShare(small, 3, 1), invalid, 'n = 3t');
  t.throws(() => shamirShare(small, 16, 1), invalid, 'more parties than points');
  t.throws(() => evaluate([small], 16), invalid, 'a party without a point');
  t.throws(() => lagrangeWeights(64, [1, 1]), invalid, 'a party twice');
  t.throws(() => extract([small, small, small], 1), invalid, 'too few parties');
  const shares = new Map([
    [1, small],
    [5, small],
  ]);
  await t.rejects(openRobust({ degree: 1, n: 4, maxErrors: 0, shares }), invalid, 'no party 5 of 4');
});

t.test('a vector has no printable content and is gone once disposed of', async (t) => {
  const vector = ShareVector.random(64, 1);
  t.equal(inspect(vector), '[ShareVector]');
  t.equal(JSON.stringify({ vector }), '{"vector":"[ShareVector]"}');
  vector.dispose();
  vector.dispose();
  t.throws(() => vector.encode(), { code: 'INTERNAL' });
});
