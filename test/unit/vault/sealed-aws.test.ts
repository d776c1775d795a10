/**
 * A sealed vault in S3 under AWS KMS, both emulated, as a configuration names them: an engine with an empty disk comes back, one
 * with other measurements does not, and each thing that AWS refuses is told with its cure.
 */
import t, { type Test } from 'tap';
import { charterDigest, type GovernedRecord } from '../../../attestation/governance/index.ts';
import { createLogger } from '../../../common/log.ts';
import type { AwsConfig } from '../../../common/node-config-aws.ts';
import { type AwsRootKeyOptions, openAwsRootKey } from '../../../enclave/keychain/aws-root-key.ts';
import type { PrivatePath } from '../../../enclave/vault/private-vault.ts';
import { awsCredentials } from '../../../storage/aws-credentials.ts';
import { openVaultStorage } from '../../../storage/open-storage.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { ACCOUNT, credentialsOf, ENGINE_ARN, REGION, startTestKms, type TestKms } from '../../helpers/aws-kms.ts';
import { makeRootKey, ourPolicy } from '../../helpers/kms-scene.ts';
import { present } from '../../helpers/present.ts';
import { KEYS, startS3, type TestS3 } from '../../helpers/s3.ts';
import { startTestAttester, testPcrs } from '../../helpers/software-nsm.ts';
import { CHARTER, engineEntry, setBytes } from '../attestation/governance/fixtures.ts';
import { openVault, type Start } from './sealed-scene.ts';

const EPOCH = parseRequestId('0'.repeat(63).concat('1'));
const KEY = parseRequestId('0'.repeat(63).concat('2'));
const SHARES: PrivatePath = ['FheKeyInfo', EPOCH, KEY];
const log = createLogger({ name: 'vault', level: 'silent' });

interface Aws {
  readonly kms: TestKms;
  readonly s3: TestS3;
  readonly keyArn: string;
  readonly aws: AwsConfig;
}

async function startAws(t: Test): Promise<Aws> {
  const kms = await startTestKms(t, { charterDigest: charterDigest(CHARTER) });
  const s3 = await startS3(t, { region: REGION, credentials: [KEYS, credentialsOf('engine')] });
  const keyArn = await makeRootKey(kms.client('admin'), await ourPolicy(kms));
  const { accessKeyId, secretAccessKey } = credentialsOf('engine');
  const aws: AwsConfig = {
    region: REGION,
    role_arn: ENGINE_ARN,
    instance_role: false,
    developer_access_key_id: accessKeyId,
    developer_secret_access_key: secretAccessKey,
    developer_s3_endpoint: s3.emulator.url,
    developer_kms_endpoint: kms.emulator.url,
  };
  return { kms, s3, keyArn, aws };
}

/** One start of an engine with nothing of its own but its configuration. */
async function startOn(
  t: Test,
  { kms, keyArn, aws }: Aws,
  {
    nsm = kms.enclave.nsm,
    keys = {},
    options = {},
    ...start
  }: Partial<Start> & {
    readonly nsm?: TestKms['enclave']['nsm'];
    readonly keys?: object;
    readonly options?: Partial<AwsRootKeyOptions>;
  } = {},
) {
  const credentials = awsCredentials(aws);
  const opened = await openVaultStorage(
    { s3: { bucket: 'vault', prefix: 'PRIV-p1' } },
    { aws, folderMode: 0o700, log },
  );
  const own = { account: ACCOUNT, region: REGION, primaryKeyId: keyArn, ...keys };
  const parties: GovernedRecord['parties'] = [{ party: 1, aws: own, ...(start.address && { address: start.address }) }];
  const releases = setBytes(1, [engineEntry('test', { pcrs: new Map(testPcrs('engine')) })]);
  return await openVault(t, {
    storage: opened.storage,
    close: () => opened.close(),
    ...start,
    record: { parties, ...start.record },
    rootKey: (inRecord, { charter, document: { pcrs } }) =>
      openAwsRootKey(
        inRecord.aws,
        'primaryKeyId',
        { aws, rootKeySpec: 'symm', credentials, ...options },
        { nsm, charter, releases: inRecord.releases, pcrs, log },
      ),
    change: { releases, document: { moduleId: 'i-1-enc1', pcrs: testPcrs('engine') }, ...start.change },
  });
}

t.test('an engine with an empty disk comes back from S3 and KMS, and asks KMS for no more than it needs', async (t) => {
  const aws = await startAws(t);
  const first = await startOn(t, aws);
  await first.vault.put(SHARES, Uint8Array.of(1, 2, 3));
  await first.close();
  const address = present(first.key).address;
  const asked = aws.kms.calls.length;
  const second = await startOn(t, aws, { address });
  t.same(
    aws.kms.calls.slice(asked).map(({ operation }) => operation),
    ['DescribeKey', 'GetKeyPolicy', 'ListGrants', 'Decrypt'],
    'its root key is looked at, and the node key opened',
  );
  t.same(await second.vault.read(SHARES, (content) => [...content]), [1, 2, 3]);
  t.equal(await second.incarnation(), 2);
  t.equal(second.sealed?.keyPolicyHash?.length, 48);
  t.equal(second.vault.keychainName, 'aws-kms');
});

t.test('of ten replacements over one bucket exactly one serves, and only it asks KMS for anything', async (t) => {
  const aws = await startAws(t);
  const first = await startOn(t, aws);
  await first.close();
  const address = present(first.key).address;
  const asked = aws.kms.calls.length;
  const starts = await Promise.allSettled(
    Array.from({ length: 10 }, (_, i) =>
      startOn(t, aws, { address, change: { document: { moduleId: `i-${i + 10}-enc1`, pcrs: testPcrs('engine') } } }),
    ),
  );
  t.equal(starts.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const start of starts) {
    if (start.status === 'rejected')
      t.match(start.reason, { code: 'ABORTED', message: /is served by i-1\d-enc1 since/ });
  }
  t.equal(
    aws.kms.calls.slice(asked).filter(({ operation }) => operation === 'Decrypt').length,
    1,
    'the lease saves work',
  );
});

t.test('an engine of other measurements gets nothing, and is told which register differs', async (t) => {
  const aws = await startAws(t);
  const first = await startOn(t, aws);
  await first.close();
  const pcrs = testPcrs('engine', 'other');
  const other = await startTestAttester({
    role: 'engine',
    root: aws.kms.root,
    pcrs,
    charterDigest: charterDigest(CHARTER),
  });
  // Its own look at the policy ends it first; with a release set that lists it KMS does.
  await t.rejects(startOn(t, aws, { nsm: other.nsm, change: { document: { moduleId: 'i-1-enc2', pcrs } } }), {
    code: 'PRECONDITION_FAILED',
    message: /does not list this engine/,
  });
  await t.rejects(startOn(t, aws, { nsm: other.nsm }), {
    code: 'PERMISSION_DENIED',
    message: /^Decrypt: AWS KMS refuses this engine the key: .*PCR ?0/i,
  });
});

t.test('a root key is looked at before anything is sealed under it', async (t) => {
  const aws = await startAws(t);
  const open = JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: { AWS: ENGINE_ARN }, Action: 'kms:*', Resource: '*' }],
  });
  const unsafe = await makeRootKey(aws.kms.client('admin'), open);
  await t.rejects(startOn(t, aws, { keys: { primaryKeyId: unsafe } }), {
    code: 'PRECONDITION_FAILED',
    message: /the root key is not safe to use/,
  });
  await t.rejects(startOn(t, aws, { keys: { keyPolicy: new Uint8Array(48) } }), {
    code: 'PRECONDITION_FAILED',
    message: /another one than the governed record names/,
  });
  const parties = [{ party: 1 }];
  await t.rejects(startOn(t, aws, { record: { parties } }), {
    code: 'STATE_INVALID',
    message: /names no root key of AWS KMS for party 1: arca record propose --root-key 1=ARN/,
  });
  const storage = await aws.s3.open({ prefix: 'PRIV-p1', region: REGION });
  t.same(await storage.list([]), ['Manifest'], 'no key was made');
});

t.test('the vault of one key does not open under another, but under the one before', async (t) => {
  const aws = await startAws(t);
  const first = await startOn(t, aws);
  await first.vault.put(SHARES, Uint8Array.of(7));
  await first.close();
  const next = await makeRootKey(aws.kms.client('admin'), await ourPolicy(aws.kms));
  await t.rejects(startOn(t, aws, { keys: { primaryKeyId: next } }), {
    code: 'STATE_INVALID',
    message: /under a root key that the governed record does not name/,
  });
  const second = await startOn(t, aws, { keys: { primaryKeyId: next, previousKeyId: aws.keyArn } });
  t.same(await second.vault.read(SHARES, (content) => [...content]), [7]);
});

t.test('each thing that AWS refuses is told with its cure', async (t) => {
  const cases: readonly (readonly [string, (aws: Aws) => Partial<AwsConfig>, RegExp])[] = [
    ['another region', () => ({ region: 'eu-west-2' }), /the bucket is in another region|correct the region/],
    [
      'no such access key',
      () => ({ developer_access_key_id: 'AKIASTRANGER0000000X' }),
      /S3 does not know the access key/,
    ],
    ['another secret', () => ({ developer_secret_access_key: 'x' }), /does not belong to the access key/],
    ['nobody there', () => ({ developer_s3_endpoint: 'http://127.0.0.1:1' }), /nothing listens where S3 should be/],
    ['no KMS', () => ({ developer_kms_endpoint: 'http://127.0.0.1:1' }), /AWS KMS cannot be reached/],
  ];
  for (const [name, change, message] of cases) {
    const aws = await startAws(t);
    const sleep = async () => undefined;
    await t.rejects(startOn(t, { ...aws, aws: { ...aws.aws, ...change(aws) } }, { sleep }), { message }, name);
  }
});
