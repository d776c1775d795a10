/**
 * Key policies: ours is clean, and every known mistake is named.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { ADMIN_ACTIONS, FORBIDDEN_ACTIONS } from '../../../wire/key-policy/actions.ts';
import { type KeyFacts, lintKeyPolicy } from '../../../wire/key-policy/lint.ts';
import { policyMismatches } from '../../../wire/key-policy/lint-use.ts';
import { type KeyPolicyFields, makeKeyPolicy } from '../../../wire/key-policy/make.ts';
import { keyPolicyHash } from '../../../wire/key-policy/policy-text.ts';
import { matchesWildcard } from '../../../wire/key-policy/wildcard.ts';
import { ACCOUNT, ADMIN_ARN, ENGINE_ARN, ROOT_ARN, STRANGER_ARN } from '../../helpers/aws-kms.ts';
import { pcrOf, somePcrs } from '../../helpers/forge-document.ts';

const TEMPLATE = join(import.meta.dirname, '../../../docs/formats/key-policy.json');
const PCR16 = pcrOf(16);
const FIELDS: KeyPolicyFields = {
  account: ACCOUNT,
  engineRole: ENGINE_ARN,
  adminRole: ADMIN_ARN,
  releases: [
    { release: '1.0.0', pcrs: somePcrs('enclave', 3) },
    { release: '1.1.0', pcrs: new Map([0, 1, 2].map((index) => [index, pcrOf(index + 40)])) },
  ],
  pcr16: PCR16,
};
const GOOD = makeKeyPolicy(FIELDS);
const PREFIX = 'kms:RecipientAttestation:';
const rulesOf = (text: string, key: KeyFacts = {}): string =>
  [...new Set(lintKeyPolicy(text, FIELDS, key).map(({ rule }) => rule))].sort().join(' ');

interface Draft {
  Version: unknown;
  Statement: Record<string, unknown>[];
  [field: string]: unknown;
}

/** Our policy with a change. */
function changed(change: (policy: Draft, first: Record<string, unknown>) => void): string {
  const policy: Draft = JSON.parse(GOOD);
  const [first] = policy.Statement;
  if (first !== undefined) change(policy, first);
  return JSON.stringify(policy);
}

const withPolicy = (change: Readonly<Record<string, unknown>>): string =>
  changed((policy) => void Object.assign(policy, change));
const withFirst = (change: Readonly<Record<string, unknown>>): string =>
  changed((_, first) => void Object.assign(first, change));
const CONDITION: unknown = JSON.parse(GOOD).Statement[0].Condition;
const withStatement = (statement: Readonly<Record<string, unknown>>): string =>
  changed((policy) => policy.Statement.push({ Sid: 'More', Effect: 'Allow', Resource: '*', ...statement }));
const withConditions = (change: (conditions: Record<string, unknown>) => Record<string, unknown>): string =>
  changed((_, first) => {
    const block = Object(CONDITION);
    first.Condition = { StringEqualsIgnoreCase: change({ ...block.StringEqualsIgnoreCase }) };
  });
const admin = (action: unknown) => withStatement({ Principal: { AWS: ADMIN_ARN }, Action: action });

t.test('our own policy is clean, with what AWS says of a good key', async (t) => {
  const key: KeyFacts = {
    origin: 'AWS_KMS',
    multiRegion: false,
    keySpec: 'SYMMETRIC_DEFAULT',
    keyUsage: 'ENCRYPT_DECRYPT',
    keyState: 'Enabled',
    keyManager: 'CUSTOMER',
    customKeyStore: false,
    grants: 0,
  };
  t.same(lintKeyPolicy(GOOD, FIELDS, key), []);
  t.same(lintKeyPolicy(JSON.stringify(JSON.parse(GOOD)), FIELDS, key), [], 'white space aside');
  t.equal(rulesOf(GOOD, { ...key, origin: 'EXTERNAL' }), 'origin');
  t.equal(rulesOf(GOOD, { ...key, multiRegion: true }), 'multi-region');
  t.equal(rulesOf(GOOD, { ...key, keySpec: 'RSA_2048' }), 'key-spec');
  t.equal(rulesOf(GOOD, { ...key, keyUsage: 'SIGN_VERIFY' }), 'key-usage');
  t.equal(rulesOf(GOOD, { ...key, keyState: 'PendingDeletion' }), 'key-state');
  t.equal(rulesOf(GOOD, { ...key, keyManager: 'AWS' }), 'key-manager');
  t.equal(rulesOf(GOOD, { ...key, customKeyStore: true }), 'custom-key-store');
  t.equal(rulesOf(GOOD, { ...key, grants: 1 }), 'grants');
  t.equal(rulesOf('{', { ...key, grants: 1, multiRegion: true }), 'grants multi-region unreadable', 'all at once');
});

t.test('the template of the documentation is what is made', async (t) => {
  const values: Readonly<Record<string, string>> = {
    ENGINE_ROLE_ARN: ENGINE_ARN,
    ADMIN_ROLE_ARN: ADMIN_ARN,
    PCR0: toHex(pcrOf(0)),
    PCR1: toHex(pcrOf(1)),
    PCR2: toHex(pcrOf(2)),
    PCR16: toHex(PCR16),
  };
  const text = readFileSync(TEMPLATE, 'utf8').replaceAll(/<([A-Z0-9_]+)>/g, (_, name: string) => values[name] ?? '?');
  const fields = { ...FIELDS, releases: FIELDS.releases.slice(0, 1) };
  t.same(JSON.parse(text), JSON.parse(makeKeyPolicy(fields)));
  t.same(lintKeyPolicy(text, fields), []);
});

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

t.test('no policy is made of what would not be safe', async (t) => {
  const bad: readonly [string, Partial<KeyPolicyFields>, RegExp][] = [
    ['no release', { releases: [] }, /no-release/],
    ['a register missing', { releases: [{ release: '1', pcrs: somePcrs('enclave', 2) }] }, /unknown-measurement/],
    [
      'debug mode',
      { releases: [{ release: '1', pcrs: new Map([0, 1, 2].map((index) => [index, new Uint8Array(48)])) }] },
      /zero-pcr/,
    ],
    ['another account', { engineRole: ENGINE_ARN.replace(ACCOUNT, '999999999999') }, /foreign-principal/],
    ['the account itself', { adminRole: ROOT_ARN }, /account-principal/],
    ['everybody', { adminRole: '*' }, /wildcard-principal/],
  ];
  for (const [why, change, rules] of bad) {
    t.throws(() => makeKeyPolicy({ ...FIELDS, ...change }), { code: 'REQUEST_INVALID', message: rules }, why);
  }
});

t.test('a policy has one hash, however it is written down', async (t) => {
  const hash = toHex(keyPolicyHash(GOOD));
  const reordered = changed((policy) => {
    policy.Id = 'any';
    policy.Statement.reverse();
    for (const statement of policy.Statement) {
      if (Array.isArray(statement.Action)) statement.Action.reverse();
      statement.Resource = ['*'];
    }
  });
  t.equal(toHex(keyPolicyHash(reordered)), hash);
  t.not(toHex(keyPolicyHash(admin('kms:TagResource'))), hash);
  t.not(toHex(keyPolicyHash(withFirst({ Effect: 'Deny' }))), hash);
  t.throws(() => keyPolicyHash('{'), { code: 'REQUEST_INVALID' });
});

t.test('registers that differ are shown, for the release that fits best', async (t) => {
  const own = new Map([...somePcrs('enclave', 3), [16, PCR16] as const]);
  t.same(policyMismatches(GOOD, own), []);
  own.set(1, pcrOf(99));
  t.same(policyMismatches(GOOD, own), [
    `PCR1 is ${toHex(pcrOf(99)).slice(0, 16)}…, the policy wants ${toHex(pcrOf(1)).slice(0, 16)}…`,
  ]);
  own.delete(16);
  t.match(policyMismatches(GOOD, own), [/^PCR1 is/, /^PCR16 is absent…/]);
  t.same(policyMismatches('{', own), []);
});

t.test('wildcards match as AWS matches them, and in linear time', async (t) => {
  for (const [pattern, text, expected] of [
    ['*', '', true],
    ['a*c', 'abbc', true],
    ['a*c', 'abcd', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['*b*', 'aba', true],
    ['kms:.*', 'kms:x', false],
  ] as const) {
    t.equal(matchesWildcard(pattern, text), expected, `${pattern} ${text}`);
  }
  t.notOk(matchesWildcard(`${'*a'.repeat(2000)}b`, 'a'.repeat(4000)));
});
