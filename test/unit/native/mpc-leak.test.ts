/** Partial decryptions, openings and vectors leave nothing behind in native memory. */
import t from 'tap';
import { openDecryption, partialDecrypt, ShareVector, shamirShare } from '../../../native/engine/index.ts';
import { testKeySet } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { partialInput, thresholdParties } from '../../helpers/threshold-keys.ts';

/** Growth that is noise: the allocator's and the garbage collector's slack. A leak of 1,000 runs is far above. */
const SLACK_BYTES = 24 * 1024 * 1024;

/** Runs `work` warm, then 1,000 times, and returns by how much the resident memory grew. */
async function growth(work: () => void | Promise<void>): Promise<number> {
  for (let round = 0; round < 300; round++) await work();
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 1000; round++) await work();
  return process.memoryUsage.rss() - before;
}

t.test('1,000 partial decryptions and openings leave memory as it was', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  const parties = thresholdParties(t, key, 4, 1);
  // 266 kB each: were a tenth of them kept, the limit would be passed.
  const item = { ciphertext: await evaluation.encrypt(3n, 8, 3), fheType: 8, format: 3 };
  const first = present(parties[0]);
  t.ok((await growth(() => partialDecrypt(partialInput(first, [item])).then(() => undefined))) < SLACK_BYTES);
  const contributions = new Map<number, Uint8Array>();
  for (const party of parties) {
    contributions.set(party.party, present((await partialDecrypt(partialInput(party, [item])))[0]));
  }
  const opening = { n: 4, t: 1, fheType: 8, format: 3, contributions };
  t.ok((await growth(() => openDecryption(opening).then(() => undefined))) < SLACK_BYTES);
});

t.test('1,000 vectors shared and disposed of leave memory as it was', async (t) => {
  const share = () => {
    using secret = ShareVector.random(128, 500);
    for (const vector of shamirShare(secret, 4, 1)) vector.dispose();
  };
  t.ok((await growth(share)) < SLACK_BYTES);
});
