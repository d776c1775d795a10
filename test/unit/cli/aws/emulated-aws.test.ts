/**
 * The emulators that `arca dev --aws` starts: whose keys they hold, whom they let in, and what outlives them.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { GetKeyPolicyCommand, KMSClient, PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import t, { type Test } from 'tap';
import { charterFor, makeCharter, pcr16Of, rawPublicKey } from '../../../../attestation/governance/index.ts';
import { parseConfig } from '../../../../common/config.ts';
import { NodeConfig } from '../../../../common/node-config.ts';
import { roleArn } from '../../../../parent/cli/supervise/aws/aws-file.ts';
import { type EmulatedAws, startEmulatedAws } from '../../../../parent/cli/supervise/aws/emulated-aws.ts';
import { developerConfig } from '../../../../parent/cli/supervise/node-toml.ts';
import { lintKeyPolicy } from '../../../../wire/key-policy/lint.ts';
import { present } from '../../../helpers/present.ts';
import { QUIET } from '../../../helpers/quiet-output.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const PARTIES = [1, 2, 3, 4];
const PCRS = new Map([0, 1, 2].map((index) => [index, new Uint8Array(randomBytes(48))]));
const CHARTER = makeCharter({
  network: 'dev:0011223344556677',
  party: 1,
  governance: { keys: [rawPublicKey(generateKeyPairSync('ed25519').publicKey)], threshold: 1 },
  anchor: new Uint8Array(32).fill(1),
});

async function start(t: Test, dir: string, parties = PARTIES): Promise<EmulatedAws> {
  const aws = await startEmulatedAws({ dir, parties, trustFolder: join(dir, 'governance') }, QUIET);
  t.teardown(() => aws.stop());
  return aws;
}

t.test('every party has root keys that its own engine alone can use, and nobody can change', async (t) => {
  const dir = tempDir(t);
  const aws = await start(t, dir);
  t.equal(aws.isFirstStart, true);
  const keys = await aws.ensureKeys(CHARTER, PCRS);
  t.same([...keys.keys()], PARTIES);
  t.equal(new Set([...keys.values()].flatMap(({ primary, backup }) => [primary, backup])).size, 8);
  const { admin } = JSON.parse(readFileSync(join(dir, 'aws/aws.json'), 'utf8'));
  const kms = new KMSClient({ region: 'eu-central-1', endpoint: aws.kmsUrl, credentials: admin, maxAttempts: 1 });
  t.teardown(() => kms.destroy());
  for (const [party, { primary }] of keys) {
    const { Policy } = await kms.send(new GetKeyPolicyCommand({ KeyId: primary, PolicyName: 'default' }));
    const expected = {
      account: '111122223333',
      engineRole: roleArn(party),
      releases: [{ release: 'this', pcrs: PCRS }],
      pcr16: pcr16Of(charterFor(CHARTER, party)),
    };
    t.same(lintKeyPolicy(present(Policy), expected), [], `party ${party}`);
    const asked = new PutKeyPolicyCommand({ KeyId: primary, PolicyName: 'default', Policy });
    await t.rejects(kms.send(asked), { name: 'AccessDeniedException' }, 'not even the administrator');
  }
});

t.test('a second start finds keys, callers and objects again', async (t) => {
  const dir = tempDir(t);
  const first = await start(t, dir);
  const keys = await first.ensureKeys(CHARTER, PCRS);
  const { access } = first.party(2);
  await putObject(t, first, 'kms-private', 'PRIV-p2/x');
  await first.stop();
  const second = await start(t, dir);
  t.equal(second.isFirstStart, false);
  t.same(second.party(2).access, access);
  t.same(await second.ensureKeys(CHARTER, PCRS), keys);
  t.equal((await fetch(`${second.s3Url}/kms-private/PRIV-p2/x`)).status, 403, 'and it is not for everybody');
  for (const name of ['aws.json', 's3.json', 'kms.json', 'kms-keys.json']) {
    t.equal(statSync(join(dir, 'aws', name)).mode & 0o077, 0, name);
  }
});

t.test('what seals backups is remembered until another is named, and the configuration says so', async (t) => {
  const dir = tempDir(t);
  const keychains: unknown[] = [];
  for (const backup of [undefined, 'custodians', undefined, 'aws-kms'] as const) {
    const aws = await startEmulatedAws({ dir, parties: [1], trustFolder: join(dir, 'governance'), backup }, QUIET);
    const text = developerConfig({
      dir,
      socketPath: join(dir, 'engine.sock'),
      clientPort: 1,
      publicPort: 2,
      opsPort: 3,
      logLevel: 'info',
      treatV0ExtraDataAsEmpty: false,
      aws: aws.party(1),
    });
    const config = parseConfig(NodeConfig, { text, env: {}, name: 'node.toml' });
    t.match(config, {
      aws: { role_arn: roleArn(1), developer_s3_endpoint: aws.s3Url, developer_kms_endpoint: aws.kmsUrl },
      public_vault: { storage: { s3: { bucket: 'kms', prefix: 'PUB' } } },
      private_vault: { storage: { s3: { bucket: 'kms-private' } }, keychain: { aws_kms: {} } },
      backup_vault: { storage: { s3: { bucket: 'kms-backup' } } },
    });
    keychains.push(...Object.keys(config.backup_vault?.keychain ?? {}));
    await aws.stop();
  }
  t.same(keychains, ['aws_kms', 'custodians', 'custodians', 'aws_kms']);
});

t.test('an emulator that dies is started again, where it was and with what it had', async (t) => {
  const aws = await start(t, tempDir(t));
  await putObject(t, aws, 'kms', 'PUB-p1/PublicKey/a');
  const pid = present(aws.pids().s3);
  process.kill(pid, 'SIGKILL');
  for (;;) {
    const found = await fetch(`${aws.s3Url}/kms/PUB-p1/PublicKey/a`).catch(() => undefined);
    if (found?.status === 200 && aws.pids().s3 !== pid) break;
    await delay(20);
  }
  t.not(aws.pids().s3, pid);
});

t.test('anyone may read what was published, and nothing else', async (t) => {
  const aws = await start(t, tempDir(t));
  const stored = [
    ['kms', 'PUB-p1/PublicKey/a', 200],
    ['kms', 'PUB-p1/Staged/b/PublicKey/a', 403],
    ['kms', 'PRIV-p1/FheKeyInfo/a', 403],
    ['kms-private', 'PRIV-p1/FheKeyInfo/a', 403],
    ['kms-backup', 'PUB-p1/PublicKey/a', 403],
  ] as const;
  for (const [bucket, key, status] of stored) {
    await putObject(t, aws, bucket, key);
    t.equal((await fetch(`${aws.s3Url}/${bucket}/${key}`)).status, status, `${bucket}/${key}`);
  }
  t.equal((await fetch(`${aws.s3Url}/kms?list-type=2`)).status, 403, 'nobody lists');
  t.equal((await fetch(`${aws.s3Url}/kms/PUB-p1/x`, { method: 'PUT', body: 'x' })).status, 403, 'nobody writes');
});

t.test(
  'an engine of other measurements is refused by register before it starts, and so are other parties',
  async (t) => {
    const dir = tempDir(t);
    const aws = await start(t, dir);
    await aws.ensureKeys(CHARTER, PCRS);
    const changed = new Map(PCRS).set(0, new Uint8Array(48).fill(3)).set(2, new Uint8Array(48).fill(4));
    await t.rejects(aws.ensureKeys(CHARTER, changed), {
      code: 'PRECONDITION_FAILED',
      message: /differs in PCR0, PCR2 from the one that the root keys of this folder admit/,
    });
    await aws.stop();
    await t.rejects(start(t, dir, [1]), { code: 'STATE_INVALID', message: /belongs to the parties 1, 2, 3, 4, not 1/ });
  },
);

t.test('damaged state is named, and nothing is left running', async (t) => {
  const dir = tempDir(t);
  const aws = await start(t, dir, [1]);
  await aws.ensureKeys(CHARTER, PCRS);
  await aws.stop();
  const sound = readFileSync(join(dir, 'aws/aws.json'), 'utf8');
  for (const text of ['{', '{}', sound.replace('"version":1', '"version":2')]) {
    writeFileSync(join(dir, 'aws/aws.json'), text);
    await t.rejects(start(t, dir, [1]), { code: 'STATE_INVALID', message: /aws\.json is damaged/ });
  }
  writeFileSync(join(dir, 'aws/aws.json'), sound);
  writeFileSync(join(dir, 'aws/kms-keys.json'), '{');
  await t.rejects(start(t, dir, [1]), { code: 'UNAVAILABLE', message: /the kms did not start/ });
});

async function putObject(t: Test, { s3Url, party }: EmulatedAws, Bucket: string, Key: string): Promise<void> {
  const s3 = new S3Client({
    region: 'eu-central-1',
    endpoint: s3Url,
    forcePathStyle: true,
    credentials: { ...party(1).access },
  });
  t.teardown(() => s3.destroy());
  await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'content' }));
}
