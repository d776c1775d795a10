/**
 * Conditions of policies in the emulator: each operator, and what it makes of a key that a request does not have.
 */
import t from 'tap';
import { conditionsHold, readConditions } from '../../../emulators/aws-kms/policy-conditions.ts';

const CONTEXT = new Map<string, readonly string[]>([
  ['kms:keyspec', ['SYMMETRIC_DEFAULT']],
  ['kms:recipientattestation:pcr0', ['ab01']],
  ['kms:encryptioncontextkeys', ['party', 'epoch']],
  ['aws:principalarn', ['arn:aws:iam::111122223333:role/engine/one']],
  ['aws:securetransport', ['true']],
  ['aws:epochtime', ['1700000000']],
  ['aws:currenttime', ['2023-11-14T22:13:20Z']],
]);

/** A policy variable, kept from looking like a template of this language. */
const VARIABLE = ['$', '{aws:username}'].join('');

const holds = (operator: string, key: string, values: unknown): boolean =>
  conditionsHold(readConditions({ [operator]: { [key]: values } }, { variables: true }), CONTEXT);

t.test('operators hold as AWS says', async (t) => {
  const pcr0 = 'kms:RecipientAttestation:PCR0';
  const cases: readonly [string, string, unknown, boolean][] = [
    ['StringEquals', pcr0, 'ab01', true],
    ['StringEquals', pcr0, 'AB01', false],
    ['StringEqualsIgnoreCase', pcr0, 'AB01', true],
    ['StringEqualsIgnoreCase', pcr0, ['x', 'AB01'], true],
    ['StringNotEquals', pcr0, ['x', 'ab01'], false],
    ['StringNotEquals', pcr0, ['x', 'y'], true],
    ['StringNotEqualsIgnoreCase', pcr0, 'AB01', false],
    ['StringLike', pcr0, 'ab*', true],
    ['StringLike', pcr0, 'a?', false],
    ['StringNotLike', pcr0, 'ab*', false],
    ['ArnLike', 'aws:PrincipalArn', 'arn:aws:iam::*:role/engine/*', true],
    ['ArnEquals', 'aws:PrincipalArn', 'arn:aws:iam::111122223333:role/engine/one', true],
    ['ArnLike', 'aws:PrincipalArn', 'arn:aws:*:role/engine/one', false],
    ['ArnNotLike', 'aws:PrincipalArn', 'arn:aws:iam::*:user/*', true],
    ['Bool', 'aws:SecureTransport', true, true],
    ['Bool', 'aws:SecureTransport', 'False', false],
    ['NumericLessThan', 'aws:EpochTime', 1_700_000_001, true],
    ['NumericGreaterThanEquals', 'aws:EpochTime', '1700000000', true],
    ['NumericEquals', 'aws:EpochTime', 'x', false],
    ['DateGreaterThan', 'aws:CurrentTime', '2023-11-14T22:13:19Z', true],
    ['DateLessThanEquals', 'aws:CurrentTime', '1700000000', true],
    ['DateEquals', 'aws:CurrentTime', 'x', false],
    ['Null', pcr0, 'false', true],
    ['Null', pcr0, true, false],
    ['ForAllValues:StringEquals', 'kms:EncryptionContextKeys', ['party', 'epoch', 'more'], true],
    ['ForAllValues:StringEquals', 'kms:EncryptionContextKeys', ['party'], false],
    ['ForAnyValue:StringEquals', 'kms:EncryptionContextKeys', ['party'], true],
    ['ForAnyValue:StringEquals', 'kms:EncryptionContextKeys', ['other'], false],
    ['ForAnyValue:StringNotEquals', 'kms:EncryptionContextKeys', ['party'], true],
  ];
  for (const [operator, key, values, expected] of cases) {
    t.equal(holds(operator, key, values), expected, `${operator} ${JSON.stringify(values)}`);
  }
});

t.test('a key that the request does not have fails what asks for it, and passes what forgives it', async (t) => {
  const cases: readonly [string, boolean][] = [
    ['StringEquals', false],
    ['StringEqualsIgnoreCase', false],
    ['StringLike', false],
    ['Bool', false],
    ['NumericLessThan', false],
    ['StringNotEquals', true],
    ['StringNotLike', true],
    ['ArnNotEquals', true],
    ['StringEqualsIfExists', true],
    ['StringEqualsIgnoreCaseIfExists', true],
    ['StringNotEqualsIfExists', true],
    ['ForAllValues:StringEquals', true],
    ['ForAnyValue:StringEquals', false],
    ['ForAnyValue:StringNotEquals', false],
  ];
  for (const [operator, expected] of cases) {
    t.equal(holds(operator, 'kms:RecipientAttestation:PCR31', 'x'), expected, operator);
  }
  t.equal(holds('Null', 'kms:RecipientAttestation:PCR31', 'true'), true);
});

t.test('all lines of a block must hold', async (t) => {
  const both = (spec: string) =>
    conditionsHold(
      readConditions(
        {
          StringEquals: { 'kms:KeySpec': spec, 'aws:SecureTransport': 'true' },
          Bool: { 'aws:SecureTransport': 'true' },
        },
        { variables: true },
      ),
      CONTEXT,
    );
  t.equal(both('SYMMETRIC_DEFAULT'), true);
  t.equal(both('RSA_4096'), false);
});

t.test('what is not emulated is refused, never taken as harmless', async (t) => {
  const malformed = { code: 'MalformedPolicyDocumentException' };
  const bad: readonly unknown[] = [
    [],
    { StringEquals: [] },
    { StringEquals: { a: {} } },
    { StringEquals: { a: [null] } },
    { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } },
    { NullIfExists: { a: 'true' } },
    { 'ForSomeValues:StringEquals': { a: 'b' } },
    { constructor: { a: 'b' } },
    { StringEquals: { a: VARIABLE } },
  ];
  for (const block of bad) {
    t.throws(() => readConditions(block, { variables: true }), malformed, JSON.stringify(block));
  }
  t.equal(readConditions({ StringEquals: { a: VARIABLE } }, { variables: false }).length, 1, 'plain text before 2012');
});
