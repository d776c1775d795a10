/** Key policies: every known mistake is named, and garbage is judged. */
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { ADMIN_ACTIONS, FORBIDDEN_ACTIONS } from '../../../wire/key-policy/actions.ts';
import { lintKeyPolicy } from '../../../wire/key-policy/lint.ts';
import { ACCOUNT, ADMIN_ARN, ENGINE_ARN, ROOT_ARN, STRANGER_ARN } from '../../helpers/aws-kms.ts';
import { pcrOf } from '../../helpers/forge-document.ts';

import {
  admin,
  CONDITION,
  changed,
  FIELDS,
  GOOD,
  PREFIX,
  rulesOf,
  withConditions,
  withFirst,
  withPolicy,
  withStatement,
} from './policy-drafts.ts';

t.test('every mistake is named', async (t) => {
  const use = ['kms:Decrypt', 'kms:GenerateDataKey'];
  const engine = { AWS: ENGINE_ARN };
  const cases: readonly [string, string, string][] = [
    ['no JSON', '{', 'unreadable'],
    ['a list', '[]', 'unreadable'],
    ['a name twice', GOOD.replace('"Effect": "Allow"', '"Effect": "Deny",\n "Effect": "Allow"'), 'unreadable'],
    ['letters as escapes', GOOD.replace('kms:ListGrants', 'kms:List\\u0047rants'), 'unreadable'],
    ['the old version', withPolicy({ Version: '2008-10-17' }), 'version'],
    ['no version', changed((policy) => void delete policy.Version), 'version'],
    ['an unknown field', withPolicy({ Statements: [] }), 'unknown-field'],
    ['no statement', JSON.stringify({ Version: '2012-10-17', Statement: [] }), 'cannot-check release-missing'],
    [
      'everything for the account',
      withStatement({ Principal: { AWS: ROOT_ARN }, Action: 'kms:*' }),
      'account-principal use-without-attestation wildcard-action',
    ],
    [
      'the account by number',
      withStatement({ Principal: { AWS: ACCOUNT }, Action: 'kms:DescribeKey' }),
      'account-principal',
    ],
    ['use without conditions', withStatement({ Principal: engine, Action: use }), 'use-without-attestation'],
    [
      'use by a wildcard',
      withStatement({ Principal: engine, Action: 'kms:Dec*' }),
      'use-without-attestation wildcard-action',
    ],
    [
      'use by a question mark',
      withStatement({ Principal: engine, Action: 'KMS:decryp?' }),
      'use-without-attestation wildcard-action',
    ],
    ['use in other letters', withStatement({ Principal: engine, Action: 'KMS:DECRYPT' }), 'use-without-attestation'],
    [
      'all but something',
      withStatement({ Principal: engine, NotAction: 'kms:Encrypt' }),
      'no-action unknown-field use-without-attestation',
    ],
    [
      'everybody but somebody',
      withStatement({ NotPrincipal: engine, Action: 'kms:DescribeKey' }),
      'no-principal unknown-field',
    ],
    [
      'everything but a resource',
      changed((_, first) => {
        delete first.Resource;
        first.NotResource = 'x';
      }),
      'resource unknown-field',
    ],
    ['another resource', withFirst({ Resource: 'arn:aws:kms:eu-central-1:111122223333:key/*' }), 'resource'],
    ['everybody', withStatement({ Principal: '*', Action: 'kms:DescribeKey' }), 'wildcard-principal'],
    ['everybody of AWS', withStatement({ Principal: { AWS: ['*'] }, Action: 'kms:DescribeKey' }), 'wildcard-principal'],
    [
      'another account',
      withStatement({ Principal: { AWS: ADMIN_ARN.replace(ACCOUNT, '999999999999') }, Action: 'kms:DescribeKey' }),
      'foreign-principal',
    ],
    [
      'a service',
      withStatement({ Principal: { Service: 's3.amazonaws.com' }, Action: 'kms:DescribeKey' }),
      'principal-kind',
    ],
    [
      'a principal that is gone',
      withStatement({ Principal: { AWS: 'AIDAEXAMPLE' }, Action: 'kms:DescribeKey' }),
      'foreign-principal principal-kind',
    ],
    ['a changeable policy', admin('kms:PutKeyPolicy'), 'policy-can-change'],
    ['an action nobody knows', admin('kms:BrandNewAction'), 'unknown-action'],
    ['an action of another service', admin('s3:GetObject'), 'unknown-action'],
    ['a denial', withStatement({ Effect: 'Deny', Principal: '*', Action: 'kms:*' }), 'deny'],
    [
      'an unknown effect',
      withStatement({ Effect: 'Permit', Principal: { AWS: ADMIN_ARN }, Action: 'kms:DescribeKey' }),
      'effect',
    ],
    ['no image', withConditions(({ [`${PREFIX}ImageSha384`]: _, ...rest }) => rest), 'use-without-attestation'],
    ['no PCR1', withConditions(({ [`${PREFIX}PCR1`]: _, ...rest }) => rest), 'release-missing use-without-attestation'],
    ['no charter', withConditions(({ [`${PREFIX}PCR16`]: _, ...rest }) => rest), 'use-without-attestation'],
    ['another charter', withConditions((block) => ({ ...block, [`${PREFIX}PCR16`]: toHex(pcrOf(17)) })), 'charter'],
    [
      'a register of another release',
      withConditions((block) => ({ ...block, [`${PREFIX}PCR2`]: toHex(pcrOf(42)) })),
      'release-missing unknown-measurement',
    ],
    [
      'an unknown register',
      withConditions((block) => ({ ...block, [`${PREFIX}PCR1`]: 'ab'.repeat(48) })),
      'release-missing unknown-measurement',
    ],
    [
      'an image that is not PCR0',
      withConditions((block) => ({ ...block, [`${PREFIX}ImageSha384`]: toHex(pcrOf(40)) })),
      'image-not-pcr0',
    ],
    [
      'debug mode',
      withConditions((block) => ({
        ...block,
        [`${PREFIX}PCR0`]: '00'.repeat(48),
        [`${PREFIX}ImageSha384`]: '00'.repeat(48),
      })),
      'release-missing unknown-measurement zero-pcr',
    ],
    [
      'two values',
      withConditions((block) => ({ ...block, [`${PREFIX}PCR0`]: [toHex(pcrOf(0)), toHex(pcrOf(40))] })),
      'several-values use-without-attestation',
    ],
    [
      'a name in two spellings',
      withConditions((block) => ({ ...block, [`${PREFIX}pcr0`]: toHex(pcrOf(40)) })),
      'several-values',
    ],
    [
      'if it exists',
      withFirst({ Condition: { StringEqualsIgnoreCaseIfExists: Object(CONDITION).StringEqualsIgnoreCase } }),
      'if-exists use-without-attestation',
    ],
    [
      'a pattern',
      withFirst({ Condition: { StringLike: { [`${PREFIX}PCR0`]: '*' } } }),
      'attestation-operator release-missing use-without-attestation',
    ],
    [
      'a set that may be empty',
      withFirst({ Condition: { 'ForAllValues:StringEquals': Object(CONDITION).StringEqualsIgnoreCase } }),
      'attestation-operator use-without-attestation',
    ],
    [
      'a denial of one value',
      withFirst({ Condition: { StringNotEquals: { [`${PREFIX}PCR0`]: 'x' } } }),
      'attestation-operator release-missing use-without-attestation',
    ],
    [
      'a TPM for an enclave',
      withFirst({ Condition: JSON.parse(JSON.stringify(CONDITION).replaceAll(':PCR', ':NitroTPMPCR')) }),
      'release-missing use-without-attestation',
    ],
    ['somebody else, attested', withFirst({ Principal: { AWS: [ENGINE_ARN, STRANGER_ARN] } }), 'other-principal'],
    ['a blind engine', changed((policy) => void policy.Statement.splice(2, 1)), 'cannot-check'],
    ['a release left out', changed((policy) => void policy.Statement.splice(1, 1)), 'release-missing'],
  ];
  for (const [why, text, rules] of cases) t.equal(rulesOf(text), rules, why);
  for (const action of FORBIDDEN_ACTIONS.keys()) {
    t.match(rulesOf(admin(action)), /^(?:forbidden-action|policy-can-change)$/, action);
  }
  for (const action of ADMIN_ACTIONS) t.equal(rulesOf(admin(action)), '', action);
  const warnings = lintKeyPolicy(withStatement({ Effect: 'Deny', Principal: '*', Action: 'kms:*' }), FIELDS);
  t.match(warnings, [{ rule: 'deny', severity: 'warning', statement: 'More' }]);
});

t.test('garbage is judged, never thrown', async (_t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => lintKeyPolicy(text, FIELDS).length > 0),
    { numRuns: 500 },
  );
  const values = fc.oneof(fc.jsonValue(), fc.constantFrom('*', 'kms:*', ENGINE_ARN, { AWS: '*' }, []));
  const names = ['Sid', 'Effect', 'Principal', 'Action', 'Resource', 'Condition', 'NotAction'];
  const statements = fc.dictionary(fc.constantFrom(...names), values);
  fc.assert(
    fc.property(fc.array(statements), (list) => {
      const text = JSON.stringify({ Version: '2012-10-17', Statement: list });
      return lintKeyPolicy(text, FIELDS).length > 0;
    }),
    { numRuns: 500 },
  );
});
