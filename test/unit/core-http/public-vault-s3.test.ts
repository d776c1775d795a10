/** The public vault of a Core in S3: published for everybody, compared with what the engine signed, served as from files. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { createLogger } from '../../../common/log.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { parsePolicy } from '../../../emulators/s3/policy.ts';
import { openPublicVault } from '../../../parent/core/boot/public-vault.ts';
import { startPublicDigest } from '../../../parent/core/objects/public-digest.ts';
import { EngineInfoSchema } from '../../../proto/gen/engine_pb.js';
import { SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { KEYS, startS3, type TestS3 } from '../../helpers/s3.ts';
import { scriptedEngine } from '../../helpers/scripted-engine.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { testConfig, testCore } from '../../helpers/test-core.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const ID = 'ab'.repeat(32);
const BYTES = randomBytes(300_000);
const DIGEST = new Uint8Array(startPublicDigest('PublicKey').update(BYTES).digest());
const INFO = {
  keys: [{ keyId: ID, epochId: '08'.repeat(32), result: { keyDigests: [{ keyType: 'PublicKey', digest: DIGEST }] } }],
  identityObjects: [{ type: 'VerfAddress', id: SIGNING_KEY_ID, content: Buffer.from('0xabc') }],
};

function configOf(dir: string, s3: TestS3, bucket = 'vault'): NodeConfig {
  return {
    ...testConfig(dir, join(dir, 'engine.sock')),
    aws: {
      region: s3.options.region,
      instance_role: false,
      developer_access_key_id: KEYS.accessKeyId,
      developer_secret_access_key: KEYS.secretAccessKey,
      developer_s3_endpoint: s3.emulator.url,
    },
    public_vault: { storage: { s3: { bucket, prefix: 'PUB-p1' } } },
  };
}

async function open(t: Test, s3: TestS3, dir = tempDir(t)) {
  const vault = await openPublicVault(configOf(dir, s3), log);
  t.teardown(() => vault.close());
  return { vault, info: create(EngineInfoSchema, INFO) };
}

t.test('what the engine describes is published, and read by anybody where the bucket allows it', async (t) => {
  const s3 = await startS3(t);
  s3.bucket.policy = parsePolicy(
    JSON.stringify({
      Statement: [{ Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: 'arn:aws:s3:::vault/PUB*' }],
    }),
  );
  const { vault, info } = await open(t, s3);
  await vault.storage.put(['PublicKey', ID], BYTES);
  await vault.follow(info);
  t.same(vault.objects.faults(), []);
  t.match(vault.description, /S3 storage, bucket vault, prefix PUB-p1/);
  const url = `${s3.emulator.url}/vault/PUB-p1`;
  t.equal(await (await fetch(`${url}/VerfAddress/${SIGNING_KEY_ID}`)).text(), '0xabc');
  t.ok(BYTES.equals(Buffer.from(await (await fetch(`${url}/PublicKey/${ID}`)).arrayBuffer())));
});

t.test('an object that was changed or removed behind our back is named and not served', async (t) => {
  const s3 = await startS3(t);
  const dir = tempDir(t);
  const { vault, info } = await open(t, s3, dir);
  await vault.storage.put(['PublicKey', ID], BYTES);
  await vault.follow(info);
  const found = await vault.objects.find('PublicKey', ID);
  t.equal(found?.sizeBytes, BYTES.byteLength);

  const other = Buffer.from(BYTES);
  other[1000] = (other[1000] ?? 0) ^ 1;
  await vault.storage.put(['PublicKey', ID], other, { replace: true });
  await t.rejects(vault.objects.find('PublicKey', ID), {
    code: 'STATE_INVALID',
    message: /has digest .*, the engine signed/,
  });
  t.match(vault.objects.faults(), [/^public object PublicKey\/abab/]);

  await vault.storage.delete(['PublicKey', ID]);
  t.equal(await vault.objects.find('PublicKey', ID), undefined);
  await vault.follow(info);
  t.match(vault.objects.faults(), [/^public object PublicKey\/abab.* is missing$/]);
});

t.test('digests are remembered: a second start reads no large object again', async (t) => {
  const s3 = await startS3(t);
  const dir = tempDir(t);
  const first = await open(t, s3, dir);
  await first.vault.storage.put(['PublicKey', ID], BYTES);
  await first.vault.follow(first.info);
  await first.vault.close();
  const second = await open(t, s3, dir);
  let read = 0;
  s3.fault = ({ operation, key }) => {
    if (operation === 'GetObject' && key.includes('PublicKey')) read += 1;
    return undefined;
  };
  await second.vault.follow(second.info);
  t.same(second.vault.objects.faults(), []);
  t.equal(read, 0);
});

t.test('a Core serves what lies in S3, in parts too, and says so', async (t) => {
  const s3 = await startS3(t);
  const engine = await scriptedEngine(t, { info: INFO });
  const dir = tempDir(t);
  const { vault } = await open(t, s3, tempDir(t));
  await vault.storage.put(['PublicKey', ID], BYTES);
  const { core, client } = await testCore(t, { socketPath: engine.socketPath, dir, config: configOf(dir, s3) });
  await core.ready;
  t.same(core.reasons(), []);
  const part = await fetch(`${core.publicUrl}/PublicKey/${ID}`, { headers: { range: 'bytes=262140-262150' } });
  t.equal(part.status, 206);
  t.ok(BYTES.subarray(262_140, 262_151).equals(Buffer.from(await part.arrayBuffer())));
  const { myStorageInfo } = await client.call('GetHealthStatus', {});
  t.match(myStorageInfo, /S3 storage, bucket vault/);
});

t.test('a Core without its bucket does not start, and says what is missing', async (t) => {
  const s3 = await startS3(t);
  const dir = tempDir(t);
  const config = configOf(dir, s3, 'nobody-has-this');
  await t.rejects(openPublicVault(config, log), { code: 'STATE_INVALID', message: /does not exist: create it/ });
});
