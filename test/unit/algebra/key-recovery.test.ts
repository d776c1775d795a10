/**
 * Why a mask is a function of the numbers that it hides. A user has t + 1 parties answer two ciphertexts under one
 * request id. With masks of the id, as the published KMS makes them, the differences of the answers are the shares of
 * the key; with ours they are noise. At test size: the key has 16 coefficients.
 */
import t from 'tap';
import { partialDecrypt, phaseShare } from '../../../enclave/algebra/decryption.ts';
import { type Element, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { maskDigest } from '../../../enclave/algebra/mask-digest.ts';
import { pack } from '../../../enclave/algebra/packing.ts';
import { maskShare, type SetUp } from '../../../enclave/algebra/prss.ts';
import { interpolate } from '../../../enclave/algebra/shamir.ts';
import type { Sample, Squashed } from '../../../enclave/algebra/squashed-ciphertext.ts';
import { present } from '../../helpers/present.ts';
import { encryptSample, NAMES, randomKey, shareKey } from './ciphertexts.ts';
import { solve } from './linear-system.ts';
import { referenceMaskShare, referencePrf, TWEAK } from './reference-masks.ts';
import { keyedSets, setUps } from './set-ups.ts';

const DIMENSION = 16;
const REQUEST = 0x1234567890abcdefn;

/** How a party answers a ciphertext under an id: unpacked elements, one a block. */
type Answering = (share: readonly Element[], own: SetUp, id: bigint, samples: readonly Sample[]) => Element[];

const asReference: Answering = (share, own, id, samples) =>
  samples.map((sample, block) => GR128.add(phaseShare(share, sample), referenceMaskShare(own, id, block)));

const asOurs: Answering = (share, own, _id, samples) => {
  const digest = maskDigest(NAMES, 'squash', { format: 'BigExpanded', samples });
  return samples.map((sample, block) => GR128.add(phaseShare(share, sample), maskShare(own, digest, block)));
};

/** Ciphertexts of as many blocks as the key has coefficients; (a - a') is invertible modulo 2. */
function twoCiphertexts(key: readonly bigint[]): [Sample[], Sample[]] {
  const blocks = (): Sample[] => key.map((_, block) => encryptSample(key, BigInt(block % 16)));
  for (;;) {
    const pair: [Sample[], Sample[]] = [blocks(), blocks()];
    if (
      solve(
        differences(...pair),
        key.map(() => GR128.zero),
      ) !== undefined
    )
      return pair;
  }
}

const differences = (first: readonly Sample[], second: readonly Sample[]): bigint[][] =>
  first.map(({ mask }, i) => mask.map((a, k) => GR128.word(a - (second[i]?.mask[k] ?? 0n))));

/** The attack: solves p - p' = (b - b') - ⟨a - a', s_i⟩ for s_i at t + 1 parties, and interpolates the key. */
function recover(
  threshold: number,
  first: readonly Sample[],
  second: readonly Sample[],
  answers: (party: number, samples: readonly Sample[]) => Element[],
): Element[] {
  const matrix = differences(first, second);
  const shares = Array.from({ length: threshold + 1 }, (_, i): [number, Element[]] => {
    const [p, q] = [answers(i + 1, first), answers(i + 1, second)];
    const values = p.map((answer, k) => {
      const bodies = GR128.scalar((first[k]?.body ?? 0n) - (second[k]?.body ?? 0n));
      return GR128.sub(bodies, GR128.sub(answer, q[k] ?? GR128.zero));
    });
    return [i + 1, present(solve(matrix, values), 'a solution')];
  });
  return matrix.map((_, k) =>
    interpolate(GR128, new Map(shares.map(([party, share]) => [party, share[k] ?? GR128.zero]))),
  );
}

for (const [n, threshold] of [
  [4, 1],
  [7, 2],
] as const) {
  const key = randomKey(DIMENSION);
  const shares = shareKey(key, n, threshold);
  const ups = setUps(n, threshold, keyedSets(n, threshold));
  const [first, second] = twoCiphertexts(key);
  const recoverFrom = (answering: Answering): Element[] =>
    recover(threshold, first, second, (party, samples) =>
      answering(present(shares[party - 1]), present(ups[party - 1]), REQUEST, samples),
    );
  const bits = key.map((bit) => GR128.scalar(bit));

  t.test(`${threshold + 1} of ${n} parties that mask by the request id give the whole key away`, async (t) => {
    t.same(recoverFrom(asReference), bits);
  });

  t.test(`${threshold + 1} of ${n} parties that mask as we do give nothing that fits the key`, async (t) => {
    const found = recoverFrom(asOurs);
    t.ok(
      found.every((element, k) => !GR128.equals(element, present(bits[k]))),
      'no coefficient',
    );
    const binary = [GR128.zero, GR128.one];
    t.notOk(
      found.some((element) => binary.some((bit) => GR128.equals(element, bit))),
      'not one that could be a bit',
    );
    // Nor is it right up to a part: the high bits of a right coefficient would be zero.
    const nearby = found.filter((element) => element.every((word) => BigInt.asIntN(128, word) >> 100n === 0n));
    t.equal(nearby.length, 0);
  });

  t.test(`asking ${n} parties twice for one ciphertext under different ids says nothing new`, async (t) => {
    const share = present(shares[0]);
    const own = present(ups[0]);
    t.same(asOurs(share, own, REQUEST, first), asOurs(share, own, REQUEST + 1n, first));
    t.notSame(asReference(share, own, REQUEST, first), asReference(share, own, REQUEST + 1n, first));
  });
}

t.test('packing hides nothing from the attack: elements of four blocks are solved the same way', async (t) => {
  // 4·16 blocks give 16 elements; block j of a group has a mask only where the group's one coefficient is.
  const key = randomKey(DIMENSION);
  const shares = shareKey(key, 4, 1);
  const ups = setUps(4, 1);
  const blank: Sample = { mask: key.map(() => 0n), body: 0n };
  const chosen = key.flatMap((_, k): Sample[] => [
    { mask: key.map((_, i) => (i === k ? 1n : 0n)), body: 0n },
    blank,
    blank,
    blank,
  ]);
  const zero = key.flatMap(() => [blank, blank, blank, blank]);
  const found = [1, 2].map((party): [number, Element[]] => {
    const answer = (samples: readonly Sample[]): Element[] =>
      pack(GR128, asReference(present(shares[party - 1]), present(ups[party - 1]), REQUEST, samples));
    const [p, q] = [answer(chosen), answer(zero)];
    return [party, p.map((element, k) => GR128.sub(q[k] ?? GR128.zero, element))];
  });
  const opened = key.map((_, k) =>
    interpolate(GR128, new Map(found.map(([party, share]) => [party, share[k] ?? GR128.zero]))),
  );
  t.same(
    opened,
    key.map((bit) => GR128.scalar(bit)),
    'the reference',
  );

  const ours = [1, 2].map((party): [number, Element[]] => {
    const answer = (samples: readonly Sample[]): Element[] => {
      const ciphertext: Squashed = { format: 'BigExpanded', samples };
      return partialDecrypt(present(shares[party - 1]), present(ups[party - 1]), NAMES, 'squash', ciphertext);
    };
    const [p, q] = [answer(chosen), answer(zero)];
    return [party, p.map((element, k) => GR128.sub(q[k] ?? GR128.zero, element))];
  });
  const wrong = key.map((_, k) =>
    interpolate(GR128, new Map(ours.map(([party, share]) => [party, share[k] ?? GR128.zero]))),
  );
  t.notOk(
    wrong.some((element, k) => GR128.equals(element, GR128.scalar(key[k] ?? 0n))),
    'ours',
  );
});

t.test('with the published keying a sharing of one session is a mask of another', async (t) => {
  const key = new Uint8Array(32).fill(5);
  t.same(referencePrf(key, TWEAK.psi, REQUEST, 9n), referencePrf(key, TWEAK.phi, REQUEST ^ 2n, 9n));
});
