/** In what two key policies differ: everything is shown, and nothing where engines take them for one. */
import fc from 'fast-check';
import t from 'tap';
import { diffKeyPolicies } from '../../../wire/key-policy/diff.ts';
import { makeKeyPolicy } from '../../../wire/key-policy/make.ts';
import { keyPolicyHash } from '../../../wire/key-policy/policy-text.ts';
import { ACCOUNT, ADMIN_ARN, ENGINE_ARN } from '../../helpers/aws-kms.ts';
import { pcrOf, somePcrs } from '../../helpers/forge-document.ts';

const NEXT = new Map([0, 1, 2].map((index) => [index, pcrOf(index + 40)]));
const policyFor = (...releases: readonly ReadonlyMap<number, Uint8Array>[]): string =>
  makeKeyPolicy({
    account: ACCOUNT,
    engineRole: ENGINE_ARN,
    adminRole: ADMIN_ARN,
    releases: releases.map((pcrs, index) => ({ release: `1.${index}.0`, pcrs })),
    pcr16: pcrOf(16),
  });
const OURS = policyFor(somePcrs('enclave', 3));

t.test('what one policy has more is shown line by line', async (t) => {
  const both = policyFor(somePcrs('enclave', 3), NEXT);
  const found = diffKeyPolicies(OURS, both);
  t.ok(found.every(({ only, statement }) => only === 'second' && statement === 'EngineUse2'));
  t.match(found.find(({ field }) => field === 'Effect')?.value, 'Allow');
  t.equal(found.filter(({ field }) => field.includes('RecipientAttestation')).length, 5);
  t.same(
    diffKeyPolicies(both, OURS).map(({ only }) => only),
    found.map(() => 'first'),
  );
});

t.test('a changed value is shown from both sides, an added action alone', async (t) => {
  const changed = OURS.replaceAll('kms:ScheduleKeyDeletion', 'kms:PutKeyPolicy');
  t.same(diffKeyPolicies(OURS, changed), [
    { statement: 'Administration', field: 'Action', value: 'kms:ScheduleKeyDeletion', only: 'first' },
    { statement: 'Administration', field: 'Action', value: 'kms:PutKeyPolicy', only: 'second' },
  ]);
  const twice = JSON.parse(OURS);
  twice.Statement[1].Action.push('kms:Decrypt');
  t.same(diffKeyPolicies(OURS, JSON.stringify(twice)), [
    { statement: 'EngineCheck', field: 'Action', value: 'kms:Decrypt', only: 'second' },
  ]);
});

t.test('order, white space, Id and lists of one make no difference', async (t) => {
  const value = JSON.parse(OURS);
  value.Id = 'any';
  value.Statement.reverse();
  for (const statement of value.Statement) statement.Resource = ['*'];
  t.same(diffKeyPolicies(OURS, JSON.stringify(value)), []);
});

t.test('statements of one name are told apart', async (t) => {
  const value = JSON.parse(OURS);
  value.Statement.push({ ...value.Statement[2], Action: 'kms:PutKeyPolicy' });
  const found = diffKeyPolicies(OURS, JSON.stringify(value));
  t.ok(found.length > 1);
  t.ok(found.every(({ statement }) => statement === 'Administration (2)'));
});

t.test('a text that is no policy is refused, whichever of the two it is', async (t) => {
  for (const bad of ['{', '[]', '{"Statement":[{}]}', OURS.replace('"Version"', '"Version": "x", "Version"')]) {
    t.throws(() => diffKeyPolicies(bad, OURS), { code: 'REQUEST_INVALID' });
    t.throws(() => diffKeyPolicies(OURS, bad), { code: 'REQUEST_INVALID' });
  }
});

t.test('there is a difference exactly where the hashes differ', async (t) => {
  const text = fc.constantFrom('Allow', 'Deny', '*', 'kms:Decrypt', ENGINE_ARN);
  const texts = fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 3 }));
  const statement = fc.record(
    {
      Sid: fc.constantFrom('A', 'B'),
      Effect: text,
      Action: texts,
      Resource: texts,
      Principal: fc.record({ AWS: texts }),
    },
    { requiredKeys: ['Effect'] },
  );
  const policy = fc.array(statement, { maxLength: 2 }).map((Statement) => JSON.stringify({ Version: 'x', Statement }));
  let equal = 0;
  fc.assert(
    fc.property(policy, policy, (left, right) => {
      const same = Buffer.compare(keyPolicyHash(left), keyPolicyHash(right)) === 0;
      if (same) equal++;
      return same === (diffKeyPolicies(left, right).length === 0);
    }),
    { numRuns: 2000 },
  );
  t.ok(equal > 10, `${equal} pairs were one policy`);
});
