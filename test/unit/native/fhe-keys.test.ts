/** Keys: storage form, life cycle, the kinds of generation, and that nothing about them can be printed. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import t from 'tap';
import { FheKey, generateDecompressionKey, generateKeySet, publicDecrypt } from '../../../native/engine/index.ts';
import { loadEvaluationKeys } from '../../../native/engine/public.ts';
import { fromLittleEndian, save, testKeySet } from '../../helpers/fhe-key-set.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const TAG = new Uint8Array(32).map((_, index) => index);

t.test('gives each layout its public objects, with digests over exactly those bytes', async (t) => {
  for (const [layout, types] of [
    ['compressed', ['PublicKey', 'CompressedXofKeySet']],
    ['uncompressed', ['PublicKey', 'ServerKey']],
  ] as const) {
    const { key, objects } = await generateKeySet({ params: 'test', tag: TAG, layout });
    t.same(
      objects.map(({ type }) => type),
      types,
    );
    for (const { bytes } of objects) {
      const all = Buffer.concat([...bytes.chunks(100_000)]);
      t.equal(all.length, bytes.size);
      t.ok(all.includes(Buffer.from(TAG)), 'bears the tag');
      const digest = createHash('shake256', { outputLength: 32 }).update('PDAT_KEY').update(all).digest();
      t.same(Buffer.from(await bytes.digest(Buffer.from('PDAT_KEY'))), digest);
      bytes.dispose();
      t.equal(bytes.size, 0);
      t.throws(() => bytes.chunk(0, 1), { code: 'INTERNAL' });
    }
    t.same([key.params, key.provenance, key.metadata.length], ['test', 'developer', 0]);
    t.same(key.tag, TAG);
    key.dispose();
  }
});

t.test('makes another key each time', async (t) => {
  const digests = [];
  for (let round = 0; round < 3; round++) {
    const { key, objects } = await generateKeySet({ params: 'test', tag: TAG, layout: 'compressed' });
    for (const { bytes } of objects) digests.push(Buffer.from(await bytes.digest(TAG)).toString('hex'));
    key.dispose();
  }
  t.equal(new Set(digests).size, digests.length);
});

t.test('stores a key with its metadata and reads it back', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  const metadata = Buffer.from('signed elsewhere');
  const stored = key.encode(metadata);
  t.equal(stored.byteLength, stored.buffer.byteLength, 'an ArrayBuffer of its own');
  t.equal(Buffer.from(stored.subarray(34, 53)).toString(), 'arca::FhePrivateKey');
  const again = FheKey.fromBytes(stored);
  t.same([again.params, again.provenance], [key.params, key.provenance]);
  t.same(again.tag, key.tag);
  t.same(Buffer.from(again.metadata), metadata);
  t.same(again.encode(metadata), stored, 'writes the same bytes again');
  const ciphertext = await evaluation.encrypt(77n, 5, 2);
  t.equal(fromLittleEndian((await publicDecrypt(again, [{ ciphertext, fheType: 5, format: 2 }]))[0] ?? TAG), 77n);
});

t.test('refuses damaged stored keys', async (t) => {
  const { key } = await testKeySet(t);
  const stored = key.encode(new Uint8Array(4));
  const invalid = { code: 'KEY_INVALID' };
  for (const size of [0, 1, 36, 60, 100, 1000, stored.length - 1]) {
    t.throws(() => FheKey.fromBytes(stored.slice(0, size)), invalid, `cut to ${size}`);
  }
  t.throws(() => FheKey.fromBytes(Buffer.concat([stored, Buffer.from([0])])), invalid, 'a byte more');
  for (const at of [0, 8, 30, 40, 56, 60, 64, 68, 72, 76, 84, 120, 140]) {
    const bad = stored.slice();
    bad[at] = (bad[at] ?? 0) ^ 0x5a;
    t.throws(() => FheKey.fromBytes(bad), invalid, `byte ${at}`);
  }
  t.throws(() => key.encode(new Uint8Array(1024 * 1024 + 1)), { code: 'REQUEST_INVALID' }, 'too much metadata');
});

t.test('makes new public objects for an existing key', async (t) => {
  const { key } = await testKeySet(t);
  const folder = tempDir(t);
  const tag = new Uint8Array(32).fill(9);
  const made = await generateKeySet({ params: 'test', tag, layout: 'compressed', existing: key });
  t.same(made.key.tag, tag);
  for (const { type, bytes } of made.objects) save(join(folder, type), bytes);
  const evaluation = await loadEvaluationKeys({ compressedXofKeySetPath: join(folder, 'CompressedXofKeySet') });
  const ciphertext = await evaluation.encrypt(12345n, 5, 2);
  for (const reader of [key, made.key]) {
    const [plaintext = TAG] = await publicDecrypt(reader, [{ ciphertext, fheType: 5, format: 2 }]);
    t.equal(fromLittleEndian(plaintext), 12345n);
  }
  await t.rejects(
    generateKeySet({ params: 'default', tag, layout: 'compressed', existing: key }),
    { code: 'REQUEST_INVALID' },
    'other parameters',
  );
});

t.test('makes a decompression key from one key to another', async (t) => {
  const [{ key: from }, { key: to }] = [await testKeySet(t), await testKeySet(t)];
  const bytes = await generateDecompressionKey({ from, to });
  t.match(Buffer.from(bytes.chunk(0, 100)).toString('latin1'), /integer::DecompressionKey/);
  t.ok(bytes.size > 1_000_000);
});

t.test('runs one generation at a time', async (t) => {
  const options = { params: 'test', tag: TAG, layout: 'compressed' } as const;
  const results = await Promise.allSettled([1, 2, 3].map(() => generateKeySet(options)));
  const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  t.ok(refused.length < 3, 'one at least is made');
  for (const reason of refused) t.match(reason, { code: 'PRECONDITION_FAILED' });
});

t.test('shows nothing of a key, whatever prints it, and nothing after disposal', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  t.equal(JSON.stringify({ key }), '{"key":"[FheKey]"}');
  t.equal(inspect(key, { showHidden: true, depth: 9 }), '[FheKey]');
  t.same(Object.keys(key), []);
  t.equal(`${Object.getOwnPropertyNames(key)}`, '');
  const ciphertext = await evaluation.encrypt(1n, 0, 1);
  const running = publicDecrypt(key, [{ ciphertext, fheType: 0, format: 1 }]);
  key.dispose();
  key.dispose();
  t.same(await running, [new Uint8Array([1])], 'what runs already finishes');
  t.throws(() => key.tag, { code: 'INTERNAL' });
  t.throws(() => key.encode(new Uint8Array()), { code: 'INTERNAL' });
  await t.rejects(publicDecrypt(key, []), { code: 'INTERNAL' });
});

t.test('names a missing or wrong evaluation key file', async (t) => {
  const { folder } = await testKeySet(t);
  const wrong = (path: string) => loadEvaluationKeys({ compressedXofKeySetPath: path });
  await t.rejects(wrong(join(folder, 'none')), { code: 'NOT_FOUND', message: /cannot open/ });
  await t.rejects(wrong(join(folder, 'PublicKey')), { code: 'KEY_INVALID', message: /CompressedXofKeySet/ });
  t.ok(readFileSync(join(folder, 'PublicKey')).length > 8000);
});
