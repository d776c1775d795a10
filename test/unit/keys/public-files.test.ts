/** Public objects that the engine fetches from S3: whole, in a file of its own that does not stay, and again once they changed. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import { parsePolicy } from '../../../emulators/s3/policy.ts';
import { fetchedPublicFiles } from '../../../enclave/keys/public-files.ts';
import { openVaultStorage } from '../../../storage/open-storage.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { startS3, type TestS3 } from '../../helpers/s3.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const ID = parseRequestId('07'.repeat(32));
const BYTES = Buffer.alloc(20_000_000, 'public');

const open = (s3: TestS3) => () =>
  openVaultStorage(
    { s3: { bucket: 'vault', prefix: 'PRIV' } },
    {
      aws: { region: s3.options.region, instance_role: true, developer_s3_endpoint: s3.emulator.url },
      folderMode: 0o755,
      log,
      credentials: 'anonymous',
    },
  );

function letReadersIn(s3: TestS3): void {
  const Resource = ['arn:aws:s3:::vault', 'arn:aws:s3:::vault/*'];
  const statement = { Effect: 'Allow', Principal: '*', Action: ['s3:GetObject', 's3:ListBucket'], Resource };
  s3.bucket.policy = parsePolicy(JSON.stringify({ Statement: [statement] }));
}

t.test('an object is fetched into a file that only this process reads, and removed after use', async (t) => {
  const s3 = await startS3(t);
  letReadersIn(s3);
  const writer = await s3.open();
  await writer.put(['CompressedXofKeySet', ID], BYTES);
  const files = fetchedPublicFiles(open(s3));
  const before = await files.stamp('CompressedXofKeySet', ID);
  let path = '';
  {
    await using file = await files.take('CompressedXofKeySet', ID);
    path = file.path;
    t.ok(BYTES.equals(readFileSync(path)));
    t.equal(statSync(path).mode & 0o777, 0o600);
    t.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  }
  t.notOk(existsSync(dirname(path)));
  t.equal(await files.stamp('CompressedXofKeySet', ID), before, 'the state is the same as long as the object is');
  await writer.put(['CompressedXofKeySet', ID], Buffer.from('other'), { replace: true });
  t.not(await files.stamp('CompressedXofKeySet', ID), before);
});

t.test('what is missing is named, and looked for again', async (t) => {
  const s3 = await startS3(t);
  letReadersIn(s3);
  const files = fetchedPublicFiles(open(s3));
  await t.rejects(files.take('PublicKey', ID), { code: 'STATE_INVALID', message: /PublicKey\/.* is missing/ });
  t.equal(await files.stamp('PublicKey', ID), 'absent');
  await (await s3.open()).put(['PublicKey', ID], Buffer.from('x'));
  await using file = await files.take('PublicKey', ID);
  t.equal(readFileSync(file.path, 'utf8'), 'x');
});

t.test('a vault that could not be opened is opened at the next need', async (t) => {
  const s3 = await startS3(t);
  letReadersIn(s3);
  let failures = 1;
  const files = fetchedPublicFiles(async () => {
    if (failures-- > 0) throw new KmsError('UNAVAILABLE', 'not yet');
    return await open(s3)();
  });
  await t.rejects(files.stamp('PublicKey', ID), { code: 'UNAVAILABLE' });
  t.equal(await files.stamp('PublicKey', ID), 'absent');
});

t.test('a fetch that breaks off leaves no file behind', async (t) => {
  const s3 = await startS3(t);
  letReadersIn(s3);
  await (await s3.open()).put(['PublicKey', ID], BYTES);
  const files = fetchedPublicFiles(open(s3));
  s3.fault = ({ operation }) => (operation === 'GetObject' ? { kind: 'error', code: 'AccessDenied' } : undefined);
  await t.rejects(files.take('PublicKey', ID), { name: 'KmsError' });
});
