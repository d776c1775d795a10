/** The twin against vectors that were computed from the definitions by other means; the file says how. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { z } from 'zod';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { partialDecrypt } from '../../../enclave/algebra/decryption.ts';
import { invert, point } from '../../../enclave/algebra/exceptional-sequence.ts';
import { GR128, galoisRing } from '../../../enclave/algebra/galois-ring.ts';
import { maskDigest } from '../../../enclave/algebra/mask-digest.ts';
import {
  decodeElement,
  decodeVector,
  decodeWord,
  encodeElement,
  encodeVector,
} from '../../../enclave/algebra/ring-encoding.ts';
import { derivePrfKey, phi } from '../../../enclave/algebra/set-prf.ts';
import { lagrange, share } from '../../../enclave/algebra/shamir.ts';
import type { Squashed } from '../../../enclave/algebra/squashed-ciphertext.ts';
import { keyedSets, setUpOf } from './set-ups.ts';

const bits = z.literal([64, 128]);
const bytes = z.string().transform(fromHex);
const Vectors = z.object({
  products: z.array(z.object({ bits, a: bytes, b: bytes, product: z.string(), inverseOfA: z.string() })),
  lagrange: z.array(z.object({ bits, parties: z.array(z.int()), at: z.int(), weights: z.array(z.string()) })),
  sharings: z.array(z.object({ bits, coefficients: z.array(bytes), shares: z.array(z.string()) })),
  maskedAnswer: z.object({
    n: z.int(),
    t: z.int(),
    party: z.int(),
    names: z.object({ context: bytes, epoch: bytes, sharingId: bytes, keyId: bytes }),
    setKeys: z.array(bytes),
    keyShare: z.array(bytes),
    samples: z.array(z.object({ mask: z.array(bytes), body: bytes })),
    digest: z.string(),
    prfKeys: z.array(z.string()),
    phi: z.array(z.array(z.string())),
    answer: z.string(),
  }),
});
const file = new URL('../../vectors/algebra/rings-and-masks.json', import.meta.url);
const vectors = Vectors.parse(JSON.parse(readFileSync(file, 'utf8')));

t.test('products and inverses', async (t) => {
  for (const { bits, a, b, product, inverseOfA } of vectors.products) {
    const ring = galoisRing(bits);
    const [x, y] = [decodeElement(ring, a), decodeElement(ring, b)];
    t.equal(toHex(encodeElement(ring, ring.mul(x, y))), product);
    t.equal(toHex(encodeElement(ring, invert(ring, x))), inverseOfA);
  }
});

t.test('interpolation weights and shares', async (t) => {
  for (const { bits, parties, at, weights } of vectors.lagrange) {
    const ring = galoisRing(bits);
    t.same(
      lagrange(ring, parties, point(at)).map((weight) => toHex(encodeElement(ring, weight))),
      weights,
    );
  }
  for (const { bits, coefficients, shares } of vectors.sharings) {
    const ring = galoisRing(bits);
    const polynomial = coefficients.map((coefficient) => decodeElement(ring, coefficient));
    t.same(
      share(ring, polynomial, shares.length).map((own) => toHex(encodeElement(ring, own))),
      shares,
    );
  }
});

t.test('digest, keys, masks and the answer of a party', async (t) => {
  const { n, t: threshold, party, names, setKeys, samples, ...wanted } = vectors.maskedAnswer;
  const ciphertext: Squashed = {
    format: 'BigExpanded',
    samples: samples.map(({ mask, body }) => ({ mask: mask.map(decodeWord), body: decodeWord(body) })),
  };
  const digest = maskDigest(names, 'squash', ciphertext);
  t.equal(toHex(digest), wanted.digest);
  const prfKeys = setKeys.map((key) => derivePrfKey(key, digest));
  t.same(prfKeys.map(toHex), wanted.prfKeys);
  t.same(
    prfKeys.map((key) => [phi(key, 0n), phi(key, 1n)].map(String)),
    wanted.phi,
  );
  const own = setUpOf(
    n,
    threshold,
    party,
    keyedSets(n, threshold, (rank) => setKeys[rank] ?? new Uint8Array(32)),
  );
  const keyShare = wanted.keyShare.flatMap((element) => decodeVector(GR128, element));
  t.equal(toHex(encodeVector(GR128, partialDecrypt(keyShare, own, names, 'squash', ciphertext))), wanted.answer);
});
