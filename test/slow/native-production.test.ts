/**
 * Production parameters in the native engine: a key set is made, published, loaded and used. About 4 minutes and
 * 5 GB on 2 cores.
 */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { FheKey, generateKeySet, publicDecrypt } from '../../native/engine/index.ts';
import { loadEvaluationKeys } from '../../native/engine/public.ts';
import { FORMATS, fromLittleEndian, save } from '../helpers/fhe-key-set.ts';
import { tempDir } from '../helpers/temp-dir.ts';

t.setTimeout(1_800_000);

/** Bytes of one euint64 in each format, with a 32-byte tag. */
const EUINT64_BYTES = [1951, 528_133, 98_876, 1_050_262] as const;
const MIB = 1024 * 1024;

/** Hashes a file the way a client that fetched it does. */
async function digestOf(path: string): Promise<string> {
  const hash = createHash('shake256', { outputLength: 32 }).update('PDAT_KEY');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

t.test('a production key set is made, streamed out, loaded again and decrypts all four formats', async (t) => {
  const folder = tempDir(t);
  const tag = new Uint8Array(32).fill(0x51);
  const { key, objects } = await generateKeySet({ params: 'default', tag, layout: 'compressed', provenance: 'whole' });
  const before = process.memoryUsage();
  for (const { type, bytes } of objects) {
    const digest = Buffer.from(await bytes.digest(Buffer.from('PDAT_KEY'))).toString('hex');
    save(join(folder, type), bytes);
    bytes.dispose();
    t.equal(await digestOf(join(folder, type)), digest, `${type}: the digest of the file is that of the object`);
  }
  const after = process.memoryUsage();
  t.ok(after.external + after.heapUsed - before.external - before.heapUsed < 300 * MIB, 'streams, not copies');
  t.ok(after.rss - before.rss < 300 * MIB, 'resident memory stays');
  t.equal(statSync(join(folder, 'PublicKey')).size, 33_050);
  const size = statSync(join(folder, 'CompressedXofKeySet')).size;
  t.ok(size > 505 * 1e6 && size < 515 * 1e6, `${size} bytes`);

  const stored = key.encode(new Uint8Array());
  key.dispose();
  const again = FheKey.fromBytes(stored);
  stored.fill(0);
  t.same([again.params, again.provenance], ['default', 'whole']);

  const evaluation = await loadEvaluationKeys({ compressedXofKeySetPath: join(folder, 'CompressedXofKeySet') });
  const value = 0x0123_4567_89ab_cdefn;
  for (const [format, name] of FORMATS.entries()) {
    const ciphertext = await evaluation.encrypt(value, 5, format);
    t.equal(ciphertext.length, EUINT64_BYTES[format], `${name}: size`);
    const [plaintext = tag] = await publicDecrypt(again, [{ ciphertext, fheType: 5, format }]);
    t.equal(fromLittleEndian(plaintext), value, name);
  }
  evaluation.dispose();
  again.dispose();
});
