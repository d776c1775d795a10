/**
 * The contract of storages on a real S3 server that is not ours. Skipped where there is no Go. Its buckets with versions
 * take `If-None-Match: *` of a deleted object for unmet, as S3 does not, so the contract runs on one without.
 */
import t from 'tap';
import { openS3Storage } from '../../storage/s3/s3-storage.ts';
import { startVersitygw } from '../helpers/versitygw.ts';
import { bytes, contractTests, PATH, readAll } from '../unit/storage/contract.ts';

const options = await startVersitygw(t);
if (!options) {
  t.comment('no Go on this machine');
  process.exit(0);
}
let vaults = 0;
const open = async (bucket = 'plain') => {
  const storage = await openS3Storage({ ...options, bucket, prefix: `PRIV-${++vaults}` });
  t.teardown(() => storage.close());
  return storage;
};

t.test('it keeps to conditional writes', async (t) => t.equal((await open()).fenced, true));

t.test('contract', async (t) => contractTests(t, () => open()));

t.test('an object in parts is stored, read and compared', async (t) => {
  const storage = await openS3Storage({ ...options, prefix: 'PARTS', partBytes: 5 * 1024 * 1024 });
  t.teardown(() => storage.close());
  const content = Uint8Array.from({ length: 12 * 1024 * 1024 + 7 }, (_, i) => i * 31);
  t.equal(await storage.put(PATH, content), 'stored');
  t.equal(await storage.put(PATH, content), 'already');
  t.equal(Buffer.compare(await storage.get(PATH), content), 0);
  await t.rejects(storage.put(PATH, content.subarray(1)), { code: 'ALREADY_EXISTS' });
  t.equal(await storage.put(PATH, content.subarray(1), { replace: true }), 'stored');
  t.equal(await storage.size(PATH), content.byteLength - 1);
});

t.test('old versions can be read', async (t) => {
  const storage = await open('versioned');
  await storage.put(PATH, bytes('one'));
  await storage.put(PATH, bytes('two'), { replace: true });
  await storage.delete(PATH);
  const versions = await storage.versions(PATH);
  t.same(
    versions.map(({ deleted }) => deleted),
    [true, false, false],
  );
  t.same(await readAll(await storage.openVersion(PATH, versions[2]?.versionId ?? '')), bytes('one'));
});
