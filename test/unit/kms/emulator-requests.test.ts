import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import {
  CreateGrantCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EncryptCommand,
  GenerateRandomCommand,
  ListKeysCommand,
} from '@aws-sdk/client-kms';
import t from 'tap';
import { AwsError } from '../../../emulators/aws-kms/aws-error.ts';
import { startKmsEmulator } from '../../../emulators/aws-kms/server.ts';
import {
  ACCOUNT,
  ADMIN_ARN,
  ADMIN_MAY_ALL,
  ENGINE_ARN,
  makeKey,
  policyOf,
  REGION,
  startTestKms,
} from '../../helpers/aws-kms.ts';
import { makeForge } from '../../helpers/forge-document.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const UNKNOWN_KEY = '00000000-0000-4000-8000-000000000000';

t.test('keys that are not there, and blobs of others, are refused in AWS words', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  const one = await makeKey(admin, policyOf(ADMIN_MAY_ALL));
  const two = await makeKey(admin, policyOf(ADMIN_MAY_ALL));
  const { CiphertextBlob = new Uint8Array(0) } = await admin.send(
    new EncryptCommand({ KeyId: one, Plaintext: Buffer.from('a') }),
  );
  const arn = `arn:aws:kms:${REGION}:${ACCOUNT}:key/${UNKNOWN_KEY}`;
  const cases: readonly [string, string, string | RegExp][] = [
    [UNKNOWN_KEY, 'NotFoundException', `Key '${arn}' does not exist`],
    [arn, 'NotFoundException', `Key '${arn}' does not exist`],
    [one.replace(REGION, 'us-east-1'), 'NotFoundException', 'Invalid arn us-east-1'],
    [one.replace(ACCOUNT, '999999999999'), 'NotFoundException', /does not exist/],
    ['alias/vault', 'NotFoundException', `Alias arn:aws:kms:${REGION}:${ACCOUNT}:alias/vault is not found.`],
    ['vault', 'NotFoundException', "Invalid keyId 'vault'"],
    ['arn:aws:s3:::bucket', 'InvalidArnException', /Invalid arn/],
  ];
  for (const [KeyId, name, message] of cases) {
    await t.rejects(admin.send(new DescribeKeyCommand({ KeyId })), { name, message }, KeyId);
  }
  await t.rejects(admin.send(new DecryptCommand({ KeyId: two, CiphertextBlob })), {
    name: 'IncorrectKeyException',
    message: 'The key ID in the request does not identify a CMK that can perform this operation.',
  });
  for (let at = 0; at < CiphertextBlob.length; at++) {
    const changed = CiphertextBlob.map((byte, index) => (index === at ? byte ^ 1 : byte));
    const asked = admin.send(new DecryptCommand({ KeyId: one, CiphertextBlob: changed }));
    await t.rejects(asked, { name: /^(?:InvalidCiphertext|IncorrectKey)Exception$/ }, `byte ${at}`);
  }
  await t.rejects(admin.send(new ListKeysCommand({})), {
    name: 'UnknownOperationException',
    message: /ListKeys is not emulated/,
  });
});

t.test('signatures are checked: key, secret, time, region', async (t) => {
  const kms = await startTestKms(t);
  const good = { accessKeyId: 'AKIAADMIN00000000001', secretAccessKey: 'admin/secret' };
  const ask = (change: object) => kms.client('admin', change).send(new GenerateRandomCommand({ NumberOfBytes: 1 }));
  await t.rejects(ask({ credentials: { ...good, secretAccessKey: 'other' } }), {
    name: 'InvalidSignatureException',
    message: /^The request signature we calculated does not match the signature you provided/,
  });
  await t.rejects(ask({ credentials: { ...good, accessKeyId: 'AKIANOBODY' } }), {
    name: 'UnrecognizedClientException',
    message: 'The security token included in the request is invalid.',
  });
  await t.rejects(ask({ credentials: { ...good, sessionToken: 'x' } }), { name: 'UnrecognizedClientException' });
  await t.rejects(ask({ region: 'us-east-1' }), { name: 'InvalidSignatureException', message: /valid region/ });
  for (const offset of [-600_000, 600_000]) {
    await t.rejects(ask({ systemClockOffset: offset }), { name: 'InvalidSignatureException' }, `${offset} ms`);
  }
  const raw = await post(kms.emulator.url, { 'x-amz-target': 'TrentService.GenerateRandom' }, '{}');
  t.match(raw, { status: 400, body: /MissingAuthenticationTokenException/ });
  const odd = await post(
    kms.emulator.url,
    { 'x-amz-target': 'TrentService.GenerateRandom', authorization: 'Basic x' },
    '{}',
  );
  t.match(odd, { status: 400, body: /IncompleteSignatureException/ });
});

t.test('anything else that reaches the port gets an answer and does no harm', async (t) => {
  const kms = await startTestKms(t);
  const { url } = kms.emulator;
  t.match(await post(url, {}, 'hello'), { status: 404 });
  t.match(await post(url, { 'x-amz-target': 'TrentService.__proto__' }, '{}'), { status: 404 });
  t.match(await post(url, { 'x-amz-target': 'TrentService.constructor' }, '{}'), { status: 400 });
  t.match(await post(url, { 'x-amz-target': 'TrentService.Decrypt' }, 'x'.repeat(1024 * 1024 + 1)), { status: 413 });
  t.ok(await kms.client('admin').send(new GenerateRandomCommand({ NumberOfBytes: 1 })), 'it still serves');
});

function post(url: string, headers: Readonly<Record<string, string>>, body: string) {
  return new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    const sent = request(url, { method: 'POST', headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

t.test('faults can be planned, and every call is told of', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  kms.planned.push(new AwsError('ThrottlingException', 'Rate exceeded'), 'cut');
  await t.rejects(admin.send(new GenerateRandomCommand({ NumberOfBytes: 1 })), { name: 'ThrottlingException' });
  await t.rejects(admin.send(new GenerateRandomCommand({ NumberOfBytes: 1 })), { code: 'ECONNRESET' });
  const { $metadata } = await admin.send(new GenerateRandomCommand({ NumberOfBytes: 1 }));
  t.match(kms.calls, [
    { operation: 'GenerateRandom', outcome: 'ThrottlingException' },
    { operation: 'GenerateRandom', outcome: 'ok', caller: ADMIN_ARN, requestId: $metadata.requestId },
  ]);
});

t.test('with a state file keys, policies and grants outlive the emulator', async (t) => {
  const statePath = join(tempDir(t), 'kms.json');
  const first = await startTestKms(t, { statePath });
  const admin = first.client('admin');
  const KeyId = await makeKey(admin, policyOf(ADMIN_MAY_ALL));
  const rsa = await makeKey(admin, policyOf(ADMIN_MAY_ALL), { KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' });
  await admin.send(new CreateGrantCommand({ KeyId, GranteePrincipal: ENGINE_ARN, Operations: ['Decrypt'] }));
  await admin.send(new DisableKeyCommand({ KeyId: rsa }));
  const { CiphertextBlob } = await admin.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('abc') }));
  await first.emulator.close();
  t.equal(statSync(statePath).mode & 0o777, 0o600, 'it holds keys');
  const second = await startTestKms(t, { statePath });
  const engine = second.client('engine');
  t.equal(Buffer.from((await engine.send(new DecryptCommand({ CiphertextBlob }))).Plaintext ?? []).toString(), 'abc');
  const described = await second.client('admin').send(new DescribeKeyCommand({ KeyId: rsa }));
  t.match(described.KeyMetadata, { KeyState: 'Disabled', KeySpec: 'RSA_2048' });
  await t.rejects(startTestKms(t, { statePath, account: '999999999999' }), /another account or region/);
  writeFileSync(statePath, readFileSync(statePath, 'utf8').replace('"version": 1', '"version": 2'));
  await t.rejects(startTestKms(t, { statePath }), /is damaged/);
  writeFileSync(statePath, '{');
  await t.rejects(startTestKms(t, { statePath }), /is not JSON/);
});

t.test('an emulator that makes no sense does not start', async (t) => {
  const { anchor } = makeForge();
  const base = { region: REGION, account: ACCOUNT, anchor, identities: [] };
  await t.rejects(startKmsEmulator({ ...base, account: '1' }), RangeError);
  await t.rejects(startKmsEmulator({ ...base, region: 'nowhere' }), RangeError);
  const identities = [{ accessKeyId: 'A', secretAccessKey: 'B', arn: 'me' }];
  await t.rejects(startKmsEmulator({ ...base, identities }), RangeError);
});
