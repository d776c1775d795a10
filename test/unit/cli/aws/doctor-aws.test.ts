/** `arca doctor` on a node in AWS: each thing that can be wrong is found at its own step, with its cure, and ends the walk. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DisableKeyCommand, EnableKeyCommand } from '@aws-sdk/client-kms';
import t, { type Test } from 'tap';
import { charterFor, encodeSigned, pcr16Of } from '../../../../attestation/governance/index.ts';
import type { NodeConfig } from '../../../../common/node-config.ts';
import { AwsError } from '../../../../emulators/aws-kms/aws-error.ts';
import type { FaultHook } from '../../../../emulators/s3/faults.ts';
import { parsePolicy } from '../../../../emulators/s3/policy.ts';
import { AWS_CHECKS } from '../../../../parent/cli/doctor/aws-checks.ts';
import { withRootKeys } from '../../../../parent/cli/supervise/aws/record-keys.ts';
import { SIGNING_KEY_ID } from '../../../../wire/ids.ts';
import { makeKeyPolicy } from '../../../../wire/key-policy/make.ts';
import { ACCOUNT, ADMIN_ARN, credentialsOf, ENGINE_ARN, REGION, startTestKms } from '../../../helpers/aws-kms.ts';
import { makeRootKey } from '../../../helpers/kms-scene.ts';
import { present } from '../../../helpers/present.ts';
import { startS3 } from '../../../helpers/s3.ts';
import { testPcrs } from '../../../helpers/software-nsm.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';
import { makeTestCa } from '../../../helpers/test-ca.ts';
import { testTrust } from '../../../helpers/test-trust.ts';
import { tlsFront } from '../../../helpers/tls-front.ts';

const BUCKETS = { public: 'kms-public', private: 'kms-private', backup: 'kms-backup' };
const NAMES = AWS_CHECKS.map(({ name }) => name);

/** A node whose buckets and keys are all as they should be. */
async function soundNode(t: Test) {
  const trust = await testTrust(tempDir(t));
  const kms = await startTestKms(t);
  const s3 = await startS3(t, { region: REGION, credentials: [credentialsOf('engine')] });
  for (const name of Object.values(BUCKETS)) s3.emulator.createBucket(name);
  const open = s3.emulator.buckets.get(BUCKETS.public);
  if (open) open.policy = readersPolicy();
  const Policy = makeKeyPolicy({
    account: ACCOUNT,
    engineRole: ENGINE_ARN,
    adminRole: ADMIN_ARN,
    releases: [{ release: 'test', pcrs: testPcrs('engine') }],
    pcr16: pcr16Of(charterFor(trust.charter, 1)),
  });
  const admin = kms.client('admin');
  const [primary, backup] = [await makeRootKey(admin, Policy), await makeRootKey(admin, Policy)];
  const keys = new Map([
    [1, { primary, backup, policy: '00'.repeat(48), pcrs: ['', '', ''] as [string, string, string] }],
  ]);
  const named = withRootKeys(trust.record, keys, trust.governanceKey);
  writeFileSync(trust.config.attestation.record_path, encodeSigned(named));
  const { accessKeyId, secretAccessKey } = credentialsOf('engine');
  const keychain = { aws_kms: { root_key_spec: 'symm' as const } };
  const config: NodeConfig = {
    ...trust.config,
    aws: {
      region: REGION,
      role_arn: ENGINE_ARN,
      instance_role: false,
      developer_access_key_id: accessKeyId,
      developer_secret_access_key: secretAccessKey,
      developer_s3_endpoint: s3.emulator.url,
      developer_kms_endpoint: kms.emulator.url,
    },
    public_vault: { storage: { s3: { bucket: BUCKETS.public, prefix: 'PUB' } } },
    private_vault: { storage: { s3: { bucket: BUCKETS.private, prefix: 'PRIV' } }, keychain },
    backup_vault: { storage: { s3: { bucket: BUCKETS.backup, prefix: 'BACKUP' } }, keychain },
  };
  return { config, trust, kms, s3, admin, primary, backup };
}

function readersPolicy() {
  const statement = {
    Effect: 'Allow',
    Principal: '*',
    Action: 's3:GetObject',
    Resource: 'arn:aws:s3:::kms-public/PUB/*',
  };
  return parsePolicy(JSON.stringify({ Statement: [statement] }));
}

/** Walks until the first fault. */
async function walk(
  config: NodeConfig,
): Promise<{ readonly ran: string[]; readonly said: string[]; readonly error?: unknown }> {
  const [ran, said]: [string[], string[]] = [[], []];
  for (const { name, run } of AWS_CHECKS) {
    ran.push(name);
    try {
      said.push(await run(config));
    } catch (error) {
      return { ran, said, error };
    }
  }
  return { ran, said };
}

t.test('before emulators that speak TLS, the authorities of the enclave count here too', async (t) => {
  const { config, s3, kms } = await soundNode(t);
  const ca = makeTestCa();
  const aws = {
    ...present(config.aws),
    developer_s3_endpoint: await tlsFront(t, ca, s3.emulator.url),
    developer_kms_endpoint: await tlsFront(t, ca, kms.emulator.url),
  };
  const authorities = join(tempDir(t), 'authorities.pem');
  const enclave = { image_path: '/none', backend: 'qemu' as const, cpus: 2, cid: 16, egress: [] };
  const trusted = { ...config, aws, enclave: { ...enclave, developer_authorities_path: authorities } };
  t.match(await walk(trusted), {
    ran: ['AWS credentials'],
    error: { code: 'CONFIG_INVALID', message: /is not there/ },
  });
  writeFileSync(authorities, ca.pem);
  t.match(await walk(trusted), { ran: NAMES, error: undefined });
  t.match(await walk({ ...config, aws, enclave }), { error: { message: /certificate of S3/ } }, 'Node knows no such');
});

t.test('a node that has all it needs', async (t) => {
  const { config, s3, primary, backup } = await soundNode(t);
  const first = await walk(config);
  t.same(first.ran, NAMES);
  t.equal(first.error, undefined);
  t.match(first.said[2], 'nothing is published yet');
  t.match(first.said[4], primary);
  t.match(first.said[6], backup);
  t.notMatch(first.said.join(), credentialsOf('engine').secretAccessKey);
  for (const name of Object.values(BUCKETS)) t.same(s3.emulator.buckets.get(name)?.keys(), [], `${name} is as it was`);
  const storage = await s3.open({
    bucket: BUCKETS.public,
    prefix: 'PUB',
    region: REGION,
    credentials: async () => credentialsOf('engine'),
  });
  await storage.put(['VerfAddress', SIGNING_KEY_ID], Buffer.from('0xabc'));
  t.match((await walk(config)).said[2], 'anyone can read it');
});

t.test('a node without AWS, or with a part of it, is asked for no more than it has', async (t) => {
  const { config, trust } = await soundNode(t);
  t.same((await walk(trust.config)).said.slice(1), [
    'not in S3',
    'not in S3',
    'not in S3',
    'not used',
    'no backup vault',
    'not used',
  ]);
  const { backup_vault: _, ...without } = config;
  t.same((await walk(without)).said.slice(5), ['no backup vault', 'not used']);
});

t.test('faults of buckets', async (t) => {
  const { config, s3 } = await soundNode(t);
  const { aws } = config;
  const at = (bucket: string): NodeConfig => ({
    ...config,
    private_vault: { ...config.private_vault, storage: { s3: { bucket, prefix: 'PRIV' } } },
  });
  const refused =
    (operation: string): FaultHook =>
    (point) =>
      point.operation === operation && point.bucket === BUCKETS.private
        ? { kind: 'error', code: 'AccessDenied' }
        : undefined;
  const skewed: FaultHook = () => ({ kind: 'error', code: 'RequestTimeTooSkewed' });
  s3.emulator.createBucket('elsewhere', 'ap-south-1');
  const cases: readonly (readonly [string, NodeConfig, FaultHook | undefined, string, object])[] = [
    [
      'no such bucket',
      at('nobody-has-this'),
      undefined,
      'private bucket',
      { code: 'STATE_INVALID', message: /create it/ },
    ],
    [
      'another region',
      at('elsewhere'),
      undefined,
      'private bucket',
      { code: 'CONFIG_INVALID', message: /another region/ },
    ],
    [
      'no listing',
      config,
      refused('ListObjectsV2'),
      'private bucket',
      { message: /refuses this operation/, facts: { action: 's3:ListBucket' } },
    ],
    ['no writing', config, refused('PutObject'), 'private bucket', { facts: { action: 's3:PutObject' } }],
    ['no removing', config, refused('DeleteObject'), 'private bucket', { facts: { action: 's3:DeleteObject' } }],
    ['a wrong clock', config, skewed, 'public bucket', { code: 'STATE_INVALID', message: /clock of this machine/ }],
    [
      'a wrong secret',
      { ...config, aws: aws && { ...aws, developer_secret_access_key: 'another' } },
      undefined,
      'public bucket',
      { code: 'PERMISSION_DENIED', message: /correct the credentials/ },
    ],
  ];
  for (const [what, changed, fault, step, wanted] of cases) {
    s3.fault = fault;
    const { ran, error } = await walk(changed);
    t.equal(ran.at(-1), step, what);
    t.match(error, wanted, what);
  }
});

t.test('what is published and nobody may read is a fault, and the policy that is missing is said', async (t) => {
  const { config, s3 } = await soundNode(t);
  const bucket = s3.emulator.buckets.get(BUCKETS.public);
  const storage = await s3.open({
    bucket: BUCKETS.public,
    prefix: 'PUB',
    region: REGION,
    credentials: async () => credentialsOf('engine'),
  });
  await storage.put(['VerfAddress', SIGNING_KEY_ID], Buffer.from('0xabc'));
  if (bucket) bucket.policy = undefined;
  const { ran, error } = await walk(config);
  t.equal(ran.at(-1), 'readers of the public bucket');
  t.match(error, { code: 'PERMISSION_DENIED', facts: { cure: /s3:GetObject on arn:aws:s3:::kms-public\/PUB\/\*/ } });
});

t.test('faults of keys', async (t) => {
  const { config, trust, kms, admin, primary, backup } = await soundNode(t);
  const keyStep = async (step: string, wanted: object, what: string) => {
    const { ran, error } = await walk(config);
    t.equal(ran.at(-1), step, what);
    t.match(error, wanted, what);
  };
  await admin.send(new DisableKeyCommand({ KeyId: primary }));
  await keyStep('private root key', { code: 'PRECONDITION_FAILED', message: /key-state/ }, 'disabled');
  await admin.send(new EnableKeyCommand({ KeyId: primary }));
  await admin.send(new DisableKeyCommand({ KeyId: backup }));
  await keyStep('backup root key', { code: 'PRECONDITION_FAILED', message: /key-state/ }, 'backup disabled');
  await admin.send(new EnableKeyCommand({ KeyId: backup }));
  kms.planned.push(new AwsError('AccessDeniedException', 'no'));
  await keyStep('private root key', { code: 'PERMISSION_DENIED', message: /DescribeKey/ }, 'refused');
  kms.planned.push(new AwsError('ExpiredTokenException', 'too late'));
  await keyStep('private root key', { code: 'PERMISSION_DENIED', message: /they have expired/ }, 'expired');

  const weak = await makeRootKey(
    admin,
    JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Sid: 'All', Effect: 'Allow', Principal: { AWS: ENGINE_ARN }, Action: 'kms:*', Resource: '*' }],
    }),
  );
  const put = (keys: { primary: string; backup: string }) => {
    const all = new Map([[1, { ...keys, policy: '00'.repeat(48), pcrs: ['', '', ''] as [string, string, string] }]]);
    writeFileSync(config.attestation.record_path, encodeSigned(withRootKeys(trust.record, all, trust.governanceKey)));
  };
  put({ primary: weak, backup });
  await keyStep(
    'private root key',
    { message: /use-without-attestation|wildcard-action/ },
    'a policy that lets the role do all',
  );
  put({ primary: primary.replace(/.{4}$/, '0000'), backup });
  await keyStep('private root key', { code: 'NOT_FOUND', message: /not there/ }, 'another id');
  writeFileSync(config.attestation.record_path, encodeSigned(trust.record));
  await keyStep(
    'private root key',
    { code: 'PRECONDITION_FAILED', message: /names no root key for party 1/ },
    'no key in the record',
  );
  writeFileSync(config.attestation.record_path, 'x');
  await keyStep('private root key', { code: 'STATE_INVALID', message: /record\.cbor/ }, 'a damaged record');
});
