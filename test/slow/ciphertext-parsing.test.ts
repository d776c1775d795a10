/**
 * 120,000 damaged ciphertexts, 20,000 damaged stored keys, 500 damaged input lists through the native parsers: a
 * result or a clean refusal each time, the process alive, memory bounded. ARCA_TEST_SEED repeats a run.
 */
import { join } from 'node:path';
import t from 'tap';
import { FheKey, generateCrs, publicDecrypt, publicDecryptSync } from '../../native/engine/index.ts';
import { loadCrs, proveInput, verifyAndExpand } from '../../native/engine/public.ts';
import { FORMATS, PLAINTEXT_BYTES, save, testKeySet } from '../helpers/fhe-key-set.ts';
import { mutate, seededRandom } from '../helpers/mutate.ts';

const seed = Number(process.env.ARCA_TEST_SEED ?? Date.now() % 2 ** 31);
t.comment(`ARCA_TEST_SEED=${seed}`);
t.setTimeout(600_000);
const MEMORY_SLACK_BYTES = 192 * 1024 * 1024;

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : error);

t.test('damaged ciphertexts of every type and format', async (t) => {
  const random = seededRandom(seed);
  const { key, evaluation } = await testKeySet(t);
  const samples = [];
  for (const fheType of PLAINTEXT_BYTES.keys()) {
    for (const format of FORMATS.keys()) {
      samples.push({ fheType, format, ciphertext: await evaluation.encrypt(1n, fheType, format) });
    }
  }
  // Large ones cost time in copying, not in parsing: they come up less often.
  const small = samples.filter(({ ciphertext }) => ciphertext.length < 80_000);
  const outcomes = new Map<string, number>();
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 120_000; round++) {
    const pool = round % 20 === 0 ? samples : small;
    const sample = pool[random(pool.length)];
    const donor = pool[random(pool.length)];
    if (!sample || !donor) continue;
    const { fheType, format } = sample;
    const items = [{ fheType, format, ciphertext: mutate(random, sample.ciphertext, donor.ciphertext) }];
    let outcome: string;
    try {
      const [plaintext] = round % 10 === 0 ? await publicDecrypt(key, items) : publicDecryptSync(key, items);
      outcome = plaintext?.length === PLAINTEXT_BYTES[fheType] ? 'plaintext' : 'wrong width';
    } catch (error) {
      outcome = String(codeOf(error));
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  t.same([...outcomes.keys()].sort(), ['CIPHERTEXT_INVALID', 'plaintext'], JSON.stringify([...outcomes]));
  t.ok(process.memoryUsage.rss() - before < MEMORY_SLACK_BYTES, 'memory is bounded');
  t.same(publicDecryptSync(key, samples).length, samples.length, 'the key still works');
});

t.test('damaged stored keys', async (t) => {
  const random = seededRandom(seed + 1);
  const [{ key }, other] = [await testKeySet(t), await testKeySet(t)];
  const [stored, donor] = [key.encode(new Uint8Array(100)), other.key.encode(new Uint8Array(10))];
  const outcomes = new Map<string, number>();
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 20_000; round++) {
    let outcome = 'key';
    try {
      FheKey.fromBytes(mutate(random, stored, donor)).dispose();
    } catch (error) {
      outcome = String(codeOf(error));
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  t.same([...outcomes.keys()].sort(), ['KEY_INVALID', 'key'], JSON.stringify([...outcomes]));
  t.ok(process.memoryUsage.rss() - before < MEMORY_SLACK_BYTES, 'memory is bounded');
});

t.test('damaged input lists', async (t) => {
  const random = seededRandom(seed + 2);
  const { key, evaluation: keys, folder, publicKey } = await testKeySet(t);
  const made = await generateCrs({ params: 'test', maxNumBits: 16 });
  save(join(folder, 'CRS'), made.bytes);
  const crs = await loadCrs(join(folder, 'CRS'));
  const metadata = new Uint8Array([1, 2, 3]);
  const values = [{ fheType: 2, value: 200n }];
  const list = await proveInput({ publicKey: { bytes: publicKey }, crs, values, metadata });
  const donor = await proveInput({ publicKey: { bytes: publicKey }, crs, values, metadata });
  const outcomes = new Map<string, number>();
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 500; round++) {
    let outcome = 'expanded';
    try {
      const expanded = await verifyAndExpand({ keys, crs, list: mutate(random, list, donor), metadata });
      const [plaintext] = await publicDecrypt(
        key,
        expanded.map((element) => ({ ...element, format: 1 })),
      );
      // What still verifies differs in a tag, or is the donor's.
      if (plaintext?.[0] !== 200) outcome = 'forged';
    } catch (error) {
      outcome = String(codeOf(error));
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  t.notOk([...outcomes.keys()].find((outcome) => outcome !== 'CIPHERTEXT_INVALID' && outcome !== 'expanded'));
  t.comment(JSON.stringify([...outcomes]));
  t.ok(process.memoryUsage.rss() - before < MEMORY_SLACK_BYTES, 'memory is bounded');
});
