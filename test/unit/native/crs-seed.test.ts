/** CRSs out of a seed: equal bytes everywhere, and good for proofs. */
import { join } from 'node:path';
import t from 'tap';
import { generateCrs } from '../../../native/engine/index.ts';
import { loadCrs, proveInput, verifyAndExpand } from '../../../native/engine/public.ts';
import { save, testKeySet } from '../../helpers/fhe-key-set.ts';

const DIGEST_TAG = new TextEncoder().encode('PDAT_CRS');
/** SHAKE256 of the CRS for 16 bits, test parameters, that the seed of 32 bytes 5 gives. */
const SEED_5 = 'd983f2e4821d2eb8daefb9f8195db220ef138db8d52c942ec1c6897fafa93511';

async function digestOf(seed?: Uint8Array): Promise<string> {
  const made = await generateCrs({ params: 'test', maxNumBits: 15, ...(seed && { seed }) });
  t.equal(made.maxNumBits, 16, 'whole slots');
  const digest = Buffer.from(await made.bytes.digest(DIGEST_TAG)).toString('hex');
  made.bytes.dispose();
  return digest;
}

t.test('a seed determines the CRS, another seed or none gives another', async (t) => {
  const seed = new Uint8Array(32).fill(5);
  t.equal(await digestOf(seed), SEED_5, 'as in every process before');
  t.not(await digestOf(seed.with(31, 6)), SEED_5);
  t.not(await digestOf(), SEED_5);
});

t.test('a CRS out of a seed proves inputs', async (t) => {
  const { evaluation: keys, publicKey, folder } = await testKeySet(t);
  const made = await generateCrs({ params: 'test', maxNumBits: 16, seed: new Uint8Array(32).fill(7) });
  const path = join(folder, 'CRS');
  save(path, made.bytes);
  const crs = await loadCrs(path);
  t.teardown(() => {
    made.bytes.dispose();
    crs.dispose();
  });
  const metadata = Uint8Array.of(1, 2, 3);
  const values = [{ value: 200n, fheType: 2 }];
  const list = await proveInput({ publicKey: { bytes: publicKey }, crs, values, metadata });
  t.equal((await verifyAndExpand({ keys, crs, list, metadata })).length, 1);
  const other = Uint8Array.of(1, 2, 4);
  await t.rejects(verifyAndExpand({ keys, crs, list, metadata: other }), { code: 'CIPHERTEXT_INVALID' });
});

t.test('a seed has 32 bytes', async (t) => {
  for (const sizeBytes of [0, 31, 33]) {
    const made = generateCrs({ params: 'test', maxNumBits: 16, seed: new Uint8Array(sizeBytes) });
    await t.rejects(made, { code: 'REQUEST_INVALID' }, `${sizeBytes} bytes`);
  }
});
