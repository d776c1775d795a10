/** Decryptions, failures and keys leave nothing behind in native memory. */
import t from 'tap';
import { FheKey, publicDecrypt, publicDecryptSync } from '../../../native/engine/index.ts';
import { testKeySet } from '../../helpers/fhe-key-set.ts';

/** Growth that is noise: the allocator's and the garbage collector's slack. A leak of 1,000 runs is far above. */
const SLACK_BYTES = 24 * 1024 * 1024;

/** Runs `work` warm, then 1,000 times, and returns by how much the resident memory grew. */
async function growth(work: () => void | Promise<void>): Promise<number> {
  for (let round = 0; round < 300; round++) await work();
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 1000; round++) await work();
  return process.memoryUsage.rss() - before;
}

t.test('1,000 decryptions, good and bad, leave memory as it was', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  // 277 kB each: were a thousandth of them kept, the limit would be passed ten times over.
  const ciphertext = await evaluation.encrypt(3n, 8, 1);
  const items = [{ ciphertext, fheType: 8, format: 1 }];
  const cut = [{ ciphertext: ciphertext.subarray(0, -1), fheType: 8, format: 1 }];
  t.ok((await growth(() => publicDecrypt(key, items).then(() => undefined))) < SLACK_BYTES, 'on the pool');
  t.ok((await growth(() => void publicDecryptSync(key, items))) < SLACK_BYTES, 'on this thread');
  t.ok(
    (await growth(() =>
      publicDecrypt(key, cut)
        .catch(() => undefined)
        .then(() => undefined),
    )) < SLACK_BYTES,
    'bad',
  );
});

t.test('1,000 keys read and disposed of leave memory as it was', async (t) => {
  const { key } = await testKeySet(t);
  const stored = key.encode(new Uint8Array(10));
  t.ok((await growth(() => FheKey.fromBytes(stored).dispose())) < SLACK_BYTES);
});
