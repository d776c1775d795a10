/** Key policies: ours is clean, and is what is made; what is said of registers that differ. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { type KeyFacts, lintKeyPolicy } from '../../../wire/key-policy/lint.ts';
import { policyMismatches } from '../../../wire/key-policy/lint-use.ts';
import { type KeyPolicyFields, makeKeyPolicy } from '../../../wire/key-policy/make.ts';
import { keyPolicyHash } from '../../../wire/key-policy/policy-text.ts';
import { matchesWildcard } from '../../../wire/key-policy/wildcard.ts';
import { ACCOUNT, ADMIN_ARN, ENGINE_ARN, ROOT_ARN } from '../../helpers/aws-kms.ts';
import { pcrOf, somePcrs } from '../../helpers/forge-document.ts';

import { admin, changed, FIELDS, GOOD, PCR16, rulesOf, withFirst } from './policy-drafts.ts';

const TEMPLATE = join(import.meta.dirname, '../../../docs/formats/key-policy.json');

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
