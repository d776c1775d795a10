/** Pseudorandom sharings: what all parties draw, against the readable twin, and what may be revealed of them. */
import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import t from 'tap';
import { GR64, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { prssShare, przsShare } from '../../../enclave/algebra/prss.ts';
import { encodeElement } from '../../../enclave/algebra/ring-encoding.ts';
import {
  combine,
  openRobust,
  type PrssFamily,
  PrssKeys,
  prssWeights,
  type Ring,
  ShareVector,
  setsOf,
} from '../../../native/engine/index.ts';

const RINGS = [
  [64, GR64],
  [128, GR128],
] as const;
const SESSION = new Uint8Array(32).fill(6);

/** The keys of the sets that hold a party: hashes of the sets. */
function heldKeys(n: number, threshold: number, party: number): { set: number[]; key: Uint8Array }[] {
  const held = setsOf(n, threshold).filter((set) => set.includes(party));
  return held.map((set) => ({ set, key: new Uint8Array(createHash('sha256').update(set.join()).digest()) }));
}

function keysOf(ring: Ring, n: number, threshold: number, party: number, sessionId = SESSION): PrssKeys {
  const keys = heldKeys(n, threshold, party).map(({ key }) => key);
  return PrssKeys.fromKeys({ ring, n, t: threshold, party, sessionId, keys });
}

t.test('shares are those of the twin', async (t) => {
  for (const [bits, ring] of RINGS) {
    for (const [n, threshold, party] of [
      [4, 1, 3],
      [7, 2, 7],
      [13, 4, 1],
    ] as const) {
      using keys = keysOf(bits, n, threshold, party);
      const setUp = { n, t: threshold, party, held: heldKeys(n, threshold, party) };
      for (const counter of [0n, 1n, 255n, 2n ** 64n + 5n, 2n ** 104n - 1n]) {
        const prss = encodeElement(ring, prssShare(ring, setUp, SESSION, counter));
        t.same(keys.draw('prss', counter, 1).encode(), prss, `${bits}, ${n} parties, prss ${counter}`);
        const przs = encodeElement(ring, przsShare(ring, setUp, SESSION, counter));
        t.same(keys.draw('przs', counter, 1).encode(), przs, `${bits}, ${n} parties, przs ${counter}`);
      }
    }
  }
});

t.test('draws of all parties are sharings, of zero for przs, other ones in every session', async (t) => {
  for (const [bits] of RINGS) {
    const open = async (family: PrssFamily, sessionId = SESSION) => {
      const parties = Array.from({ length: 7 }, (_, index) => keysOf(bits, 7, 2, index + 1, sessionId));
      const shares = new Map(parties.map((keys, index) => [index + 1, keys.draw(family, 3n, 4)]));
      for (const keys of parties) keys.dispose();
      return (await openRobust({ degree: family === 'prss' ? 2 : 4, n: 7, maxErrors: 0, shares }))?.value;
    };
    const random = await open('prss');
    t.ok(random && !random.equals((await open('prss', new Uint8Array(32).fill(7))) ?? random), 'another session');
    const zero = ShareVector.fromBytes(bits, new Uint8Array(4 * (bits / 2)));
    t.ok((await open('przs'))?.equals(zero), 'zero');
  }
});

t.test('values of a draw make its share with the public weights', async (t) => {
  for (const [bits] of RINGS) {
    for (const family of ['prss', 'przs'] as const) {
      using keys = keysOf(bits, 13, 4, 5);
      const weights = prssWeights({ ring: bits, n: 13, t: 4, party: 5, family }).flat();
      const joined = ShareVector.concat(keys.values(family, 9n).map((value) => ShareVector.fromBytes(bits, value)));
      const values = Array.from({ length: joined.length }, (_, index) => joined.slice(index, index + 1));
      t.equal(values.length, weights.length, `${family}: one weight an element`);
      t.ok(combine(values, weights).equals(keys.draw(family, 9n, 1)), `${family} in ring ${bits}`);
    }
  }
});

t.test('refuses counters without room, foreign parties and short keys; prints nothing', async (t) => {
  const invalid = { code: 'REQUEST_INVALID' };
  const keys = keysOf(64, 4, 1, 1);
  for (const counter of [-1n, 2n ** 104n, 2n ** 130n]) {
    t.throws(() => keys.draw('prss', counter, 1), invalid, `counter ${counter}`);
    t.throws(() => keys.values('przs', counter), invalid, `values at ${counter}`);
  }
  t.throws(() => keys.draw('prss', 0n, 2 ** 20 + 1), invalid, 'too many at once');
  const options = { ring: 64, n: 4, t: 1, party: 1, sessionId: SESSION, keys: [] } as const;
  t.throws(() => PrssKeys.fromKeys(options), invalid, 'no keys');
  t.throws(() => PrssKeys.fromKeys({ ...options, sessionId: SESSION.subarray(1) }), invalid, 'a short session id');
  t.throws(() => prssWeights({ ring: 64, n: 4, t: 1, party: 5, family: 'prss' }), invalid, 'party 5 of 4');
  t.equal(inspect(keys), '[PrssKeys]');
  keys.dispose();
  t.throws(() => keys.draw('prss', 0n, 1), { code: 'INTERNAL' });
});
