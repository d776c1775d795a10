import { CreateKeyCommand, DecryptCommand, GenerateDataKeyCommand } from '@aws-sdk/client-kms';
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { makeRecipientKey } from '../../../enclave/keychain/recipient-key.ts';
import { lintKeyPolicy } from '../../../wire/key-policy/lint.ts';
import { type KeyPolicyFields, makeKeyPolicy } from '../../../wire/key-policy/make.ts';
import { ACCOUNT, ADMIN_ARN, ENGINE_ARN, ROOT_ARN, STRANGER_ARN, startTestKms } from '../../helpers/aws-kms.ts';
import { pcrOf } from '../../helpers/forge-document.ts';
import { startTestAttester, testPcrs } from '../../helpers/software-nsm.ts';

const PREFIX = 'kms:RecipientAttestation:';

interface Draft {
  readonly Statement: readonly Readonly<Record<string, unknown>>[];
}

t.test('what is found clean lets nobody in without the right document', async (t) => {
  const charterDigest = new Uint8Array(48).fill(7);
  const kms = await startTestKms(t, { charterDigest });
  const administrator = kms.client('admin');
  const pcr16 = (await kms.enclave.nsm.describePcr(16)).value;
  const fields: KeyPolicyFields = {
    account: ACCOUNT,
    engineRole: ENGINE_ARN,
    adminRole: ADMIN_ARN,
    releases: [{ release: 'test', pcrs: testPcrs('engine') }],
    pcr16,
  };
  const base: Draft = JSON.parse(makeKeyPolicy(fields));
  const outsiders = await Promise.all([
    startTestAttester({ role: 'engine', root: kms.root, charterDigest: new Uint8Array(48) }),
    ...[0, 1, 2].map((index) =>
      startTestAttester({ role: 'engine', root: kms.root, charterDigest, pcrs: new Map([[index, pcrOf(90)]]) }),
    ),
  ]);
  const key = await makeRecipientKey();
  const recipients = await Promise.all(
    outsiders.map(async ({ nsm }) => ({
      AttestationDocument: await nsm.attest({ publicKey: key.publicKey }),
      KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256' as const,
    })),
  );
  const AttestationDocument = await kms.enclave.nsm.attest({ publicKey: key.publicKey });
  const insider = { AttestationDocument, KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256' as const };
  // Statements that somebody may well add, most of them harmful.
  const actions = fc.constantFrom(
    'kms:*',
    'kms:Decrypt',
    'kms:Generate*',
    'kms:DescribeKey',
    'kms:TagResource',
    'kms:CreateGrant',
    'kms:Encrypt',
  );
  const conditions = fc.constantFrom(
    undefined,
    { StringEqualsIgnoreCaseIfExists: { [`${PREFIX}PCR0`]: toHex(testPcrs('engine').get(0) ?? pcr16) } },
    { StringEqualsIgnoreCase: { [`${PREFIX}PCR0`]: toHex(testPcrs('engine').get(0) ?? pcr16) } },
    { StringNotEquals: { [`${PREFIX}PCR1`]: 'x' } },
    { Null: { [`${PREFIX}PCR1`]: 'true' } },
    Object(base.Statement[0]?.Condition),
  );
  const principals = fc.constantFrom<unknown>(
    '*',
    { AWS: ROOT_ARN },
    { AWS: ENGINE_ARN },
    { AWS: STRANGER_ARN },
    { AWS: [ADMIN_ARN, ENGINE_ARN] },
  );
  const extra = fc.record({
    Principal: principals,
    Action: fc.array(actions, { minLength: 1, maxLength: 2 }),
    Condition: conditions,
  });
  let clean = 0;
  const samples = fc.sample(fc.array(extra, { maxLength: 2 }), { numRuns: 60, seed: 6 });
  for (const [index, more] of [[], ...samples].entries()) {
    const statements = more.map((statement, place) => ({
      Sid: `More${place}`,
      Effect: 'Allow',
      Resource: '*',
      ...statement,
    }));
    const Policy = JSON.stringify({ ...base, Statement: [...base.Statement, ...statements] });
    if (lintKeyPolicy(Policy, fields).some(({ severity }) => severity === 'error')) continue;
    clean += 1;
    const made = await administrator.send(new CreateKeyCommand({ Policy, BypassPolicyLockoutSafetyCheck: true }));
    const KeyId = made.KeyMetadata?.Arn;
    const asked = { KeyId, KeySpec: 'AES_256' } as const;
    const { CiphertextBlob } = await kms
      .client('engine')
      .send(new GenerateDataKeyCommand({ ...asked, Recipient: insider }));
    for (const who of ['engine', 'admin', 'stranger'] as const) {
      const client = kms.client(who);
      for (const Recipient of [undefined, ...recipients]) {
        await t.rejects(
          client.send(new GenerateDataKeyCommand({ ...asked, Recipient })),
          { name: 'AccessDeniedException' },
          `${index} ${who}`,
        );
      }
      await t.rejects(
        client.send(new DecryptCommand({ KeyId, CiphertextBlob })),
        { name: 'AccessDeniedException' },
        `${index} ${who}`,
      );
    }
  }
  t.ok(clean > 3 && clean < 61, `${clean} of 61 were clean`);
});
