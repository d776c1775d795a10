/** Sealed objects and their manifest in S3: uploads in parts, the fence between two servers, and answers that fail. */
import t from 'tap';
import { ManifestHead } from '../../../enclave/seal/manifest-head.ts';
import { SealedStore } from '../../../enclave/seal/sealed-store.ts';
import { startS3, type TestS3 } from '../../helpers/s3.ts';
import { writerOf } from './manifest-scene.ts';
import { CLAIMS, fixedRandom, fixedSealer, pieces } from './seal-scene.ts';

const { version: _, ...KEY } = CLAIMS;
const CONTENT = fixedRandom(1)(3_000_000);

let seeds = 100;

async function server(s3: TestS3, incarnation: number) {
  const storage = await s3.open({ partBytes: 1_000_000 });
  t.ok(storage.fenced, 'a bucket with conditional writes');
  const head = await ManifestHead.open(writerOf(storage, { incarnation, needsFence: true }));
  const onLeftover = (): void => {};
  return new SealedStore({ storage, head, sealer: fixedSealer(++seeds), onLeftover });
}

async function contentOf(store: SealedStore): Promise<Buffer> {
  return await store.read(KEY, async (walk) => {
    const parts: Buffer[] = [];
    for await (const piece of walk) parts.push(Buffer.from(piece));
    return Buffer.concat(parts);
  });
}

t.test('an object of several parts comes back at the next start', async (t) => {
  const s3 = await startS3(t);
  const store = await server(s3, 1);
  await store.put(KEY, pieces(CONTENT, 100_000), { sizeBytes: CONTENT.length });
  t.ok((await contentOf(store)).equals(CONTENT));
  const next = await server(s3, 2);
  t.ok((await contentOf(next)).equals(CONTENT));
  await next.put(KEY, pieces(CONTENT.subarray(0, 10)), { sizeBytes: 10 });
  t.equal((await contentOf(next)).length, 10);
});

t.test('of two servers the one that moved the head goes on', async (t) => {
  const s3 = await startS3(t);
  const [first, second] = [await server(s3, 1), await server(s3, 1)];
  await first.put(KEY, pieces(CONTENT));
  await t.rejects(second.put(KEY, pieces(CONTENT.subarray(5))), { code: 'ABORTED' });
  t.ok((await contentOf(first)).equals(CONTENT));
});
