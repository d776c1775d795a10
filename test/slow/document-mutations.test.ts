/**
 * 125,000 damaged attestation documents: each is refused cleanly, or its signed bytes are those of the good one: only
 * the envelope's own encoding (tag, definite or indefinite length), which nothing signs, may differ and verify.
 * ARCA_TEST_SEED repeats a run.
 */
import t from 'tap';
import { decodeStrict, encodeCanonical } from '../../attestation/cbor.ts';
import {
  ChainCache,
  explainDocument,
  type VerifiedDocument,
  verifyLiveDocument,
} from '../../attestation/document/index.ts';
import { concatBytes } from '../../common/bytes.ts';
import { FORGED_AT_MS, makeForge, somePcrs } from '../helpers/forge-document.ts';
import { mutate, type Random, seededRandom } from '../helpers/mutate.ts';

const seed = Number(process.env.ARCA_TEST_SEED ?? Date.now() % 2 ** 31);
t.comment(`ARCA_TEST_SEED=${seed}`);
t.setTimeout(900_000);

const ROUNDS = 125_000;
/** Documents verified at the same time. */
const BATCH = 32;
const MEMORY_SLACK_BYTES = 192 * 1024 * 1024;

const forge = makeForge();
const GOOD = [
  forge.document({ nonce: new Uint8Array(32).fill(1) }),
  forge.document({ form: { map: 'definite', unset: 'absent' }, publicKey: new Uint8Array(91).fill(2) }),
  forge.document({ form: { tagged: true, unset: 'empty' }, pcrs: somePcrs('enclave', 32) }),
  forge.document({ platform: 'nitro-tpm', userData: new Uint8Array(48).fill(3) }),
];

/** Everything a document says, as one string. */
function said(document: VerifiedDocument): string {
  const { platform, moduleId, timestampMs, pcrs, publicKey, userData, nonce, notBeforeMs, notAfterMs } = document;
  const fields = [platform, moduleId, timestampMs, notBeforeMs, notAfterMs, ...[publicKey, userData, nonce].map(hex)];
  return JSON.stringify([fields, [...pcrs].map(([index, value]) => [index, hex(value)])]);
}

const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex');

/**
 * Returns a document in the one form of its envelope: without tag, definite lengths. Two documents with equal forms
 * differ only in what no signature covers and nobody reads.
 */
function envelopeForm(document: Uint8Array): string | undefined {
  const untagged = document[0] === 0xd2 ? document.subarray(1) : document;
  return hex(encodeCanonical(decodeStrict(untagged, { maxBytes: 20_000, maxDepth: 2, allowIndefinite: true })));
}

/** Damage to bytes, and to the structure: envelopes written again in other forms, parts swapped between documents. */
function damage(random: Random, good: Uint8Array, other: Uint8Array): Uint8Array {
  if (random(8) > 0) return mutate(random, good, other);
  const untagged = good[0] === 0xd2 ? good.subarray(1) : good;
  const limits = { maxBytes: 20_000, maxDepth: 2, allowIndefinite: true };
  const parts = decodeStrict(untagged, limits);
  const donor = decodeStrict(other[0] === 0xd2 ? other.subarray(1) : other, limits);
  if (!Array.isArray(parts) || !Array.isArray(donor)) return good;
  const items = parts.map((part) => encodeCanonical(part));
  switch (random(4)) {
    case 0:
      return concatBytes(Uint8Array.of(0x9f), ...items, Uint8Array.of(0xff));
    case 1:
      return concatBytes(Uint8Array.of(0xd2, 0x84), ...items);
    case 2:
      return concatBytes(Uint8Array.of(0x84), ...items.slice(0, 1), Uint8Array.of(0xbf, 0xff), ...items.slice(2));
    default: {
      const swapped = random(4);
      return encodeCanonical(parts.map((part, index) => (index === swapped ? donor[index] : part)));
    }
  }
}

t.test('no damaged document verifies as anything but what was signed', async (t) => {
  const random = seededRandom(seed);
  const anchor = forge.anchor;
  const cache = new ChainCache();
  const expected = await Promise.all(
    GOOD.map(async (document) => said(await verifyLiveDocument(document, { anchor, nowMs: FORGED_AT_MS }))),
  );
  const outcomes = new Map<string, number>();
  const before = process.memoryUsage.rss();
  const judge = async (index: number, input: Uint8Array): Promise<string> => {
    try {
      const document = await verifyLiveDocument(input, { anchor, nowMs: FORGED_AT_MS, cache });
      if (said(document) !== expected[index]) return `WRONG: ${hex(input)}`;
      const good = GOOD[index] ?? input;
      if (hex(input) === hex(good)) return 'not changed';
      // ECDSA also takes n - s for s; damage does not hit that, and a document that verified so would say the same.
      return envelopeForm(input) === envelopeForm(good) ? 'other envelope' : `OTHER SIGNED BYTES: ${hex(input)}`;
    } catch (error) {
      return Object(error).code === 'ATTESTATION_INVALID' ? 'refused' : `THREW: ${error} ${hex(input)}`;
    }
  };
  for (let done = 0; done < ROUNDS; done += BATCH) {
    const batch = Array.from({ length: BATCH }, () => {
      const index = random(GOOD.length);
      const other = GOOD[random(GOOD.length)] ?? new Uint8Array(16);
      return judge(index, damage(random, GOOD[index] ?? other, other));
    });
    for (const outcome of await Promise.all(batch)) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  const counts = JSON.stringify([...outcomes]).slice(0, 2000);
  t.comment(counts);
  t.same([...outcomes.keys()].sort(), ['not changed', 'other envelope', 'refused'], `ARCA_TEST_SEED=${seed} ${counts}`);
  t.ok((outcomes.get('refused') ?? 0) >= 100_000, `${outcomes.get('refused')} damaged documents were refused`);
  t.ok(process.memoryUsage.rss() - before < MEMORY_SLACK_BYTES, 'memory is bounded');
});

t.test('no damaged certificate is taken, though the document is signed with the right key', async (t) => {
  const random = seededRandom(seed + 2);
  const { anchor, chain } = forge;
  const wrong: string[] = [];
  let refused = 0;
  for (let round = 0; round < 10_000; round++) {
    const certificates = [...chain.cabundle, chain.leaf];
    const at = 1 + random(certificates.length - 1);
    const good = certificates[at] ?? chain.leaf;
    const bad = mutate(random, good, certificates[1 + random(certificates.length - 1)] ?? good);
    if (hex(bad) === hex(good)) continue;
    certificates[at] = bad;
    const damaged = { ...chain, leaf: certificates.pop() ?? chain.leaf, cabundle: certificates };
    try {
      await verifyLiveDocument(forge.document({ chain: damaged }), { anchor, nowMs: FORGED_AT_MS });
      wrong.push(`TAKEN: ${at} ${hex(bad)}`);
    } catch (error) {
      if (Object(error).code === 'ATTESTATION_INVALID') refused++;
      else wrong.push(`THREW: ${error} ${hex(bad)}`);
    }
  }
  t.same(wrong, [], `ARCA_TEST_SEED=${seed}`);
  t.ok(refused > 9000, `${refused} refused`);
});

t.test('a damaged payload that is signed is read or refused, never anything else', async (t) => {
  const random = seededRandom(seed + 3);
  const { anchor } = forge;
  const wrong: string[] = [];
  for (let round = 0; round < 10_000; round++) {
    let damaged: string | undefined;
    const payload = (good: Uint8Array) => {
      const bytes = mutate(random, good, good);
      damaged = hex(bytes);
      return bytes;
    };
    const document = forge.document({ form: { payload } });
    await verifyLiveDocument(document, { anchor, nowMs: FORGED_AT_MS }).catch((error) => {
      if (Object(error).code !== 'ATTESTATION_INVALID') wrong.push(`${error} ${damaged}`);
    });
  }
  t.same(wrong, [], `ARCA_TEST_SEED=${seed}`);
});

t.test('damaged documents are explained without an exception, and none is said to hold', async (t) => {
  const random = seededRandom(seed + 1);
  const bad: string[] = [];
  for (let round = 0; round < 4000; round++) {
    const good = GOOD[random(GOOD.length)] ?? new Uint8Array(16);
    const input = mutate(random, good, GOOD[0] ?? good);
    const time = { kind: 'live', nowMs: FORGED_AT_MS } as const;
    const { ok, verified } = await explainDocument(input, { anchor: forge.anchor, time });
    const same = verified && envelopeForm(input) === envelopeForm(good);
    if (ok !== verified || (ok && !same)) bad.push(`${hex(input)}`);
  }
  t.same(bad, [], `ARCA_TEST_SEED=${seed + 1}`);
});
