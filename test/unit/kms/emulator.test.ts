/**
 * The emulated AWS KMS, asked by the AWS SDK as it is: operations, and answers for attested recipients alone.
 */
import { constants, createPublicKey, publicEncrypt } from 'node:crypto';
import {
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateRandomCommand,
  GetPublicKeyCommand,
} from '@aws-sdk/client-kms';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { makeRecipientKey } from '../../../enclave/keychain/recipient-key.ts';
import {
  ACCOUNT,
  ADMIN_MAY_ALL,
  attested,
  ENGINE_ARN,
  engineMay,
  makeKey,
  policyOf,
  REGION,
  recipientOf,
  startTestKms,
  USE,
} from '../../helpers/aws-kms.ts';
import { makeForge } from '../../helpers/forge-document.ts';

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
