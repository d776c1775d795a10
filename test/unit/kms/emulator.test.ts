/**
 * The emulated AWS KMS, asked by the AWS SDK as it is: operations, attested recipients, refusals in AWS's words.
 */
import { constants, createPublicKey, publicEncrypt } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import {
  CreateGrantCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateRandomCommand,
  GetKeyPolicyCommand,
  GetPublicKeyCommand,
  type KMSClient,
  ListGrantsCommand,
  ListKeysCommand,
  PutKeyPolicyCommand,
} from '@aws-sdk/client-kms';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { AwsError } from '../../../emulators/aws-kms/aws-error.ts';
import { startKmsEmulator } from '../../../emulators/aws-kms/server.ts';
import { makeRecipientKey } from '../../../enclave/keychain/recipient-key.ts';
import {
  ACCOUNT,
  ADMIN_ARN,
  ADMIN_MAY_ALL,
  ENGINE_ARN,
  engineMay,
  policyOf,
  REGION,
  ROOT_ARN,
  STRANGER_ARN,
  startTestKms,
  type TestKms,
} from '../../helpers/aws-kms.ts';
import { makeForge } from '../../helpers/forge-document.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const USE = ['kms:Decrypt', 'kms:GenerateDataKey'];
const UNKNOWN_KEY = '00000000-0000-4000-8000-000000000000';

/** Makes a key and returns its ARN. */
async function makeKey(client: KMSClient, policy: string, change: object = {}): Promise<string> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({ Policy: policy, ...change }));
  return KeyMetadata?.Arn ?? '';
}

/** Conditions that name the enclave of a test. */
function attested(
  { enclave }: TestKms,
  change: Readonly<Record<string, string>> = {},
): Readonly<Record<string, unknown>> {
  const pcr = (index: number) => toHex(enclave.pcrs.get(index) ?? new Uint8Array(0));
  return {
    StringEqualsIgnoreCase: {
      'kms:RecipientAttestation:ImageSha384': pcr(0).toUpperCase(),
      'kms:RecipientAttestation:PCR0': pcr(0),
      'kms:RecipientAttestation:PCR1': pcr(1),
      'kms:RecipientAttestation:PCR2': pcr(2),
      ...change,
    },
  };
}

/** `Recipient` over a fresh document. */
async function recipientOf({ enclave }: TestKms, publicKey: Uint8Array | undefined) {
  const AttestationDocument = await enclave.nsm.attest({ publicKey });
  return { AttestationDocument, KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256' } as const;
}

t.test('a data key for an attested enclave opens there alone, and comes back from its blob', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  const engine = kms.client('engine');
  const KeyId = await makeKey(admin, policyOf(ADMIN_MAY_ALL, engineMay(USE, attested(kms))));
  const EncryptionContext = { party: '1', purpose: 'test' };
  const first = await makeRecipientKey();
  const made = await engine.send(
    new GenerateDataKeyCommand({
      KeyId,
      KeySpec: 'AES_256',
      EncryptionContext,
      Recipient: await recipientOf(kms, first.publicKey),
    }),
  );
  t.equal(made.Plaintext, undefined, 'nothing in clear');
  t.equal(made.KeyId, KeyId);
  const dataKey = first.open(made.CiphertextForRecipient ?? new Uint8Array(0));
  t.equal(dataKey.length, 32);
  for (const round of ['chunks', 'primitive', 'chunks again']) {
    const next = await makeRecipientKey();
    const Recipient = await recipientOf(kms, next.publicKey);
    const back = await engine.send(
      new DecryptCommand({ KeyId, CiphertextBlob: made.CiphertextBlob, EncryptionContext, Recipient }),
    );
    t.equal(back.Plaintext, undefined, round);
    t.equal(toHex(next.open(back.CiphertextForRecipient ?? new Uint8Array(0))), toHex(dataKey), round);
  }
  await t.rejects(engine.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' })), {
    name: 'AccessDeniedException',
    message: `User: ${ENGINE_ARN} is not authorized to perform: kms:GenerateDataKey on resource: ${KeyId} because no resource-based policy allows the kms:GenerateDataKey action`,
  });
  const other = await makeRecipientKey();
  const CiphertextBlob = made.CiphertextBlob;
  const Recipient = await recipientOf(kms, other.publicKey);
  for (const wrong of [{}, { party: '2', purpose: 'test' }, { ...EncryptionContext, more: '1' }]) {
    const asked = engine.send(new DecryptCommand({ KeyId, CiphertextBlob, EncryptionContext: wrong, Recipient }));
    await t.rejects(asked, { name: 'InvalidCiphertextException' }, JSON.stringify(wrong));
  }
});

t.test('each register that a policy names must be the one of the document', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  const engine = kms.client('engine');
  const pcr16 = toHex((await kms.enclave.nsm.describePcr(16)).value);
  const key = await makeRecipientKey();
  const ask = async (condition: Readonly<Record<string, unknown>>) => {
    const KeyId = await makeKey(admin, policyOf(ADMIN_MAY_ALL, engineMay(USE, condition)));
    return engine.send(
      new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', Recipient: await recipientOf(kms, key.publicKey) }),
    );
  };
  t.ok(await ask(attested(kms, { 'kms:RecipientAttestation:PCR16': pcr16 })));
  for (const name of ['ImageSha384', 'PCR0', 'PCR1', 'PCR2', 'PCR3', 'PCR16', 'NitroTPMPCR4']) {
    const asked = ask(attested(kms, { [`kms:RecipientAttestation:${name}`]: 'ab'.repeat(48) }));
    await t.rejects(asked, { name: 'AccessDeniedException' }, name);
  }
});

t.test('documents that do not verify are refused before anything else', async (t) => {
  const clock = { nowMs: () => nowMs, monotonicMs: () => 0 };
  let nowMs = Date.UTC(2026, 5, 1, 12);
  const kms = await startTestKms(t, { clock });
  const admin = kms.client('admin', { systemClockOffset: nowMs - Date.now() });
  const KeyId = await makeKey(admin, policyOf(ADMIN_MAY_ALL));
  const key = await makeRecipientKey();
  const KeyEncryptionAlgorithm = 'RSAES_OAEP_SHA_256';
  const ask = (AttestationDocument: Uint8Array) =>
    admin.send(
      new GenerateDataKeyCommand({
        KeyId,
        KeySpec: 'AES_256',
        Recipient: { AttestationDocument, KeyEncryptionAlgorithm },
      }),
    );
  const good = await kms.enclave.nsm.attest({ publicKey: key.publicKey });
  const refused = { name: 'ValidationException', message: /attestation document in Recipient is not valid/ };
  t.ok(await ask(good));
  nowMs += 299_000;
  t.ok(await ask(good), 'after 4:59 it still serves: KMS remembers no document');
  nowMs += 2_000;
  await t.rejects(ask(good), refused, 'after 5:01 it is too old');
  const fresh = await kms.enclave.nsm.attest({ publicKey: key.publicKey });
  t.ok(await ask(fresh));
  const stranger = makeForge(nowMs);
  const bad: readonly [string, Uint8Array][] = [
    ['another root', stranger.document({ publicKey: key.publicKey })],
    ['cut', fresh.subarray(0, fresh.length - 1)],
    ['changed', fresh.map((byte, index) => (index === 200 ? byte ^ 1 : byte))],
    ['no key', await kms.enclave.nsm.attest({})],
    ['a key that is none', await kms.enclave.nsm.attest({ publicKey: new Uint8Array(64).fill(1) })],
    ['garbage', new Uint8Array(64).fill(0xa5)],
  ];
  for (const [why, document] of bad) await t.rejects(ask(document), refused, why);
  // Only the SDK's type knows that there is one algorithm; the wire takes any text.
  const Recipient = { AttestationDocument: fresh, KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_1' } as unknown as undefined;
  await t.rejects(admin.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', Recipient })), {
    name: 'ValidationException',
    message: /RSAES_OAEP_SHA_256/,
  });
});

t.test('keys are made, described, disabled, enabled', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  const { KeyMetadata } = await admin.send(new CreateKeyCommand({ Description: 'vault' }));
  const KeyId = KeyMetadata?.KeyId ?? '';
  t.match(KeyMetadata, {
    AWSAccountId: ACCOUNT,
    Arn: `arn:aws:kms:${REGION}:${ACCOUNT}:key/${KeyId}`,
    Enabled: true,
    KeyState: 'Enabled',
    KeySpec: 'SYMMETRIC_DEFAULT',
    KeyUsage: 'ENCRYPT_DECRYPT',
    Origin: 'AWS_KMS',
    KeyManager: 'CUSTOMER',
    MultiRegion: false,
    Description: 'vault',
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
  });
  t.type(KeyMetadata?.CreationDate, Date);
  const encrypted = await admin.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('abc') }));
  await admin.send(new DisableKeyCommand({ KeyId }));
  t.match((await admin.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata, { Enabled: false, KeyState: 'Disabled' });
  const CiphertextBlob = encrypted.CiphertextBlob;
  await t.rejects(admin.send(new DecryptCommand({ CiphertextBlob })), {
    name: 'DisabledException',
    message: `${KeyMetadata?.Arn} is disabled.`,
  });
  await admin.send(new EnableKeyCommand({ KeyId }));
  const back = await admin.send(new DecryptCommand({ CiphertextBlob }));
  t.equal(Buffer.from(back.Plaintext ?? []).toString(), 'abc');
  t.equal(back.KeyId, KeyMetadata?.Arn);
  const external = await admin.send(new CreateKeyCommand({ Origin: 'EXTERNAL', MultiRegion: true }));
  t.match(external.KeyMetadata, { KeyState: 'PendingImport', MultiRegion: true, KeyId: /^mrk-[0-9a-f]{32}$/ });
  const pending = external.KeyMetadata?.KeyId;
  await t.rejects(admin.send(new EncryptCommand({ KeyId: pending, Plaintext: Buffer.from('a') })), {
    name: 'KMSInvalidStateException',
    message: `${external.KeyMetadata?.Arn} is pending import.`,
  });
});

t.test('an RSA key: anybody wraps with its public half, Decrypt unwraps', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  const KeyId = await makeKey(admin, policyOf(ADMIN_MAY_ALL), { KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' });
  const answer = await admin.send(new GetPublicKeyCommand({ KeyId }));
  t.match(answer, { KeyId, KeySpec: 'RSA_2048', EncryptionAlgorithms: ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256'] });
  const publicKey = createPublicKey({ key: Buffer.from(answer.PublicKey ?? []), format: 'der', type: 'spki' });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const CiphertextBlob = publicEncrypt({ key: publicKey, padding, oaepHash: 'sha256' }, Buffer.from('data key'));
  const EncryptionAlgorithm = 'RSAES_OAEP_SHA_256';
  const back = await admin.send(new DecryptCommand({ KeyId, CiphertextBlob, EncryptionAlgorithm }));
  t.equal(Buffer.from(back.Plaintext ?? []).toString(), 'data key');
  await t.rejects(admin.send(new DecryptCommand({ KeyId, CiphertextBlob, EncryptionAlgorithm: 'RSAES_OAEP_SHA_1' })), {
    name: 'InvalidCiphertextException',
  });
  await t.rejects(admin.send(new DecryptCommand({ CiphertextBlob, EncryptionAlgorithm })), {
    name: 'ValidationException',
  });
  await t.rejects(admin.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' })), {
    name: 'InvalidKeyUsageException',
  });
  await t.rejects(admin.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('a') })), {
    name: 'InvalidKeyUsageException',
  });
  await t.rejects(admin.send(new EncryptCommand({ KeyId, Plaintext: Buffer.alloc(191), EncryptionAlgorithm })), {
    name: 'ValidationException',
    message: /cannot encrypt data larger than 190 bytes/,
  });
});

t.test('random bytes, in clear or for an enclave', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  t.equal((await admin.send(new GenerateRandomCommand({ NumberOfBytes: 24 }))).Plaintext?.length, 24);
  const key = await makeRecipientKey();
  const Recipient = await recipientOf(kms, key.publicKey);
  const sealed = await admin.send(new GenerateRandomCommand({ NumberOfBytes: 1024, Recipient }));
  t.equal(sealed.Plaintext, undefined);
  t.equal(key.open(sealed.CiphertextForRecipient ?? new Uint8Array(0)).length, 1024);
  await t.rejects(kms.client('engine').send(new GenerateRandomCommand({ NumberOfBytes: 8 })), {
    name: 'AccessDeniedException',
    message: `User: ${ENGINE_ARN} is not authorized to perform: kms:GenerateRandom on resource: * because no identity-based policy allows the kms:GenerateRandom action`,
  });
  await t.rejects(admin.send(new GenerateRandomCommand({ NumberOfBytes: 2000 })), { name: 'ValidationException' });
});

t.test('a policy is kept as it was given; one that locks its author out is refused unless he says so', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  const immutable = policyOf(engineMay(['kms:DescribeKey']), {
    Effect: 'Allow',
    Principal: { AWS: ADMIN_ARN },
    Action: ['kms:GetKeyPolicy'],
    Resource: '*',
  });
  const lockedOut = {
    name: 'MalformedPolicyDocumentException',
    message: 'The new key policy will not allow you to update the key policy in the future.',
  };
  await t.rejects(admin.send(new CreateKeyCommand({ Policy: immutable })), lockedOut);
  const KeyId = await makeKey(admin, immutable, { BypassPolicyLockoutSafetyCheck: true });
  t.match(await admin.send(new GetKeyPolicyCommand({ KeyId })), { Policy: immutable, PolicyName: 'default' });
  await t.rejects(admin.send(new PutKeyPolicyCommand({ KeyId, Policy: policyOf(ADMIN_MAY_ALL) })), {
    name: 'AccessDeniedException',
  });
  const changeable = await makeKey(admin, policyOf(ADMIN_MAY_ALL));
  await t.rejects(admin.send(new PutKeyPolicyCommand({ KeyId: changeable, Policy: immutable })), lockedOut);
  await admin.send(
    new PutKeyPolicyCommand({ KeyId: changeable, Policy: immutable, BypassPolicyLockoutSafetyCheck: true }),
  );
  t.equal((await admin.send(new GetKeyPolicyCommand({ KeyId: changeable }))).Policy, immutable);
  for (const [why, Policy] of [
    ['no JSON', '{'],
    ['an action of nobody', policyOf({ Effect: 'Allow', Action: 'kms:*', Resource: '*' })],
    ['no effect', policyOf({ Principal: '*', Action: 'kms:*', Resource: '*' })],
    ['no resource', policyOf({ Effect: 'Allow', Principal: '*', Action: 'kms:*' })],
    ['a wildcard in a principal', policyOf({ ...ADMIN_MAY_ALL, Principal: { AWS: `arn:aws:iam::${ACCOUNT}:role/*` } })],
    ['an unknown operator', policyOf({ ...ADMIN_MAY_ALL, Condition: { StringRoughlyEquals: { 'kms:KeySpec': 'a' } } })],
    ['an unknown field', policyOf({ ...ADMIN_MAY_ALL, Actions: [] })],
    ['two statements of one name', policyOf({ ...ADMIN_MAY_ALL, Sid: 'a' }, { ...ADMIN_MAY_ALL, Sid: 'a' })],
  ] as const) {
    await t.rejects(admin.send(new CreateKeyCommand({ Policy })), { name: 'MalformedPolicyDocumentException' }, why);
  }
});

t.test('the default policy hands a key over to IAM, attestation or not', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  const account = { Effect: 'Allow', Principal: { AWS: ROOT_ARN }, Action: 'kms:*', Resource: '*' };
  const KeyId = await makeKey(admin, policyOf(account, engineMay(USE, attested(kms))));
  const asked = new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' });
  t.equal(
    (await kms.client('stranger').send(asked)).Plaintext?.length,
    32,
    'anybody with an IAM policy has a key in clear',
  );
  await t.rejects(kms.client('engine').send(asked), {
    name: 'AccessDeniedException',
    message: /because no identity-based policy allows the kms:GenerateDataKey action/,
  });
  const deny = {
    Effect: 'Deny',
    Principal: '*',
    Action: USE,
    Resource: '*',
    Condition: { Null: { 'kms:RecipientAttestation:PCR0': 'true' } },
  };
  const guarded = await makeKey(admin, policyOf(account, deny));
  await t.rejects(kms.client('stranger').send(new GenerateDataKeyCommand({ KeyId: guarded, KeySpec: 'AES_256' })), {
    name: 'AccessDeniedException',
    message: `User: ${STRANGER_ARN} is not authorized to perform: kms:GenerateDataKey on resource: ${guarded} with an explicit deny in a resource-based policy`,
  });
});

t.test('a grant lets its grantee past the conditions of the policy', async (t) => {
  const kms = await startTestKms(t);
  const admin = kms.client('admin');
  const engine = kms.client('engine');
  const KeyId = await makeKey(admin, policyOf(ADMIN_MAY_ALL, engineMay(USE, attested(kms))));
  const { CiphertextBlob } = await admin.send(
    new EncryptCommand({ KeyId, Plaintext: Buffer.from('abc'), EncryptionContext: { a: '1', b: '2' } }),
  );
  const ask = () => engine.send(new DecryptCommand({ CiphertextBlob, EncryptionContext: { a: '1', b: '2' } }));
  await t.rejects(ask(), { name: 'AccessDeniedException' });
  const grant = { KeyId, GranteePrincipal: ENGINE_ARN, Operations: ['Decrypt'] } as const;
  const narrow = { EncryptionContextEquals: { a: '1' } };
  await admin.send(new CreateGrantCommand({ ...grant, Operations: ['Decrypt'], Constraints: narrow, Name: 'narrow' }));
  await t.rejects(ask(), { name: 'AccessDeniedException' }, 'another context');
  const { GrantId } = await admin.send(
    new CreateGrantCommand({ ...grant, Operations: ['Decrypt'], Constraints: { EncryptionContextSubset: { a: '1' } } }),
  );
  t.equal(Buffer.from((await ask()).Plaintext ?? []).toString(), 'abc', 'in clear, with no document at all');
  const page = await admin.send(new ListGrantsCommand({ KeyId, Limit: 1 }));
  t.match(page, {
    Truncated: true,
    Grants: [{ Name: 'narrow', GranteePrincipal: ENGINE_ARN, Operations: ['Decrypt'] }],
  });
  const rest = await admin.send(new ListGrantsCommand({ KeyId, Limit: 1, Marker: page.NextMarker }));
  t.match(rest, {
    Truncated: false,
    Grants: [{ GrantId, KeyId, Constraints: { EncryptionContextSubset: { a: '1' } } }],
  });
  t.same((await admin.send(new ListGrantsCommand({ KeyId, GranteePrincipal: ADMIN_ARN }))).Grants, []);
  await t.rejects(engine.send(new ListGrantsCommand({ KeyId })), { name: 'AccessDeniedException' });
  await t.rejects(admin.send(new ListGrantsCommand({ KeyId, Marker: 'x' })), { name: 'InvalidMarkerException' });
  await t.rejects(admin.send(new CreateGrantCommand({ ...grant, Operations: ['Sign'] })), {
    name: 'ValidationException',
  });
  await t.rejects(admin.send(new CreateGrantCommand({ ...grant, Operations: ['Decrypt'], GranteePrincipal: 'x' })), {
    name: 'InvalidArnException',
  });
});

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
