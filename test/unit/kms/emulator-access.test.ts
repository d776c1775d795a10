import {
  CreateGrantCommand,
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GetKeyPolicyCommand,
  ListGrantsCommand,
  PutKeyPolicyCommand,
} from '@aws-sdk/client-kms';
import t from 'tap';
import {
  ACCOUNT,
  ADMIN_ARN,
  ADMIN_MAY_ALL,
  attested,
  ENGINE_ARN,
  engineMay,
  makeKey,
  policyOf,
  ROOT_ARN,
  STRANGER_ARN,
  startTestKms,
  USE,
} from '../../helpers/aws-kms.ts';

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
