/**
 * `AssumeRoleWithWebIdentity`: the AWS SDK's own credential chain gets a session by a token, and uses it; tokens that are not good.
 */
import { createHmac, generateKeyPairSync, type JsonWebKey, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DescribeKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import t from 'tap';
import type { IdentityProvider, WebIdentityRole } from '../../../emulators/aws-kms/sts.ts';
import {
  ACCOUNT,
  ADMIN_MAY_ALL,
  ENGINE_ARN,
  engineMay,
  makeKey,
  policyOf,
  REGION,
  startTestKms,
} from '../../helpers/aws-kms.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';

const ISSUER = 'https://oidc.example/cluster';
const SUBJECT = 'system:serviceaccount:kms:engine';
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = (key: typeof rsa.publicKey, kid: string): JsonWebKey => ({ ...key.export({ format: 'jwk' }), kid });
const PROVIDERS: readonly IdentityProvider[] = [
  { issuer: ISSUER, keys: [jwk(rsa.publicKey, 'r'), jwk(ec.publicKey, 'e')] },
];
const ROLES: readonly WebIdentityRole[] = [
  { arn: ENGINE_ARN, issuer: ISSUER, audience: 'sts.amazonaws.com', subject: SUBJECT },
];
const NOW = Math.floor(Date.now() / 1000);
const CLAIMS = { iss: ISSUER, sub: SUBJECT, aud: ['sts.amazonaws.com'], exp: NOW + 3600, iat: NOW };

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token, signed with RS256 or ES256. */
function token(claims: object = CLAIMS, header: { alg: string; kid?: string } = { alg: 'RS256', kid: 'r' }): string {
  const text = `${part(header)}.${part(claims)}`;
  const key = header.alg === 'ES256' ? ec.privateKey : rsa.privateKey;
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

/** Asks with a form, as any client may. */
async function ask(url: string, change: Readonly<Record<string, string>> = {}) {
  const fields = {
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: ENGINE_ARN,
    RoleSessionName: 'i-0',
    WebIdentityToken: token(),
    ...change,
  };
  const answer = await fetch(url, { method: 'POST', body: new URLSearchParams(fields) });
  return { status: answer.status, body: await answer.text() };
}

const start = (t: Teardown) => startTestKms(t, { providers: PROVIDERS, roles: ROLES });

t.test('the default credential chain of the SDK gets a session, and the key policy knows its role', async (t) => {
  const kms = await start(t);
  const KeyId = await makeKey(kms.client('admin'), policyOf(ADMIN_MAY_ALL, engineMay(['kms:DescribeKey'])));
  const file = join(tempDir(t), 'token');
  writeFileSync(file, token());
  const variables = {
    AWS_WEB_IDENTITY_TOKEN_FILE: file,
    AWS_ROLE_ARN: ENGINE_ARN,
    AWS_ROLE_SESSION_NAME: 'engine-1',
    AWS_ENDPOINT_URL_STS: kms.emulator.url,
    AWS_REGION: REGION,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  Object.assign(process.env, variables);
  t.teardown(() => {
    for (const name of Object.keys(variables)) delete process.env[name];
  });
  const client = new KMSClient({ region: REGION, endpoint: kms.emulator.url, maxAttempts: 1 });
  t.teardown(() => client.destroy());
  t.match((await client.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata, { Arn: KeyId });
  t.match(kms.calls.slice(-2), [
    { operation: 'AssumeRoleWithWebIdentity', outcome: 'ok' },
    { operation: 'DescribeKey', outcome: 'ok', caller: `arn:aws:sts::${ACCOUNT}:assumed-role/engine/engine-1` },
  ]);
  const other = await makeKey(kms.client('admin'), policyOf(ADMIN_MAY_ALL));
  await t.rejects(client.send(new DescribeKeyCommand({ KeyId: other })), {
    name: 'AccessDeniedException',
    message: new RegExp(`^User: arn:aws:sts::${ACCOUNT}:assumed-role/engine/engine-1 is not authorized`),
  });
});

t.test('a session ends', async (t) => {
  let nowMs = Date.now();
  const kms = await startTestKms(t, {
    providers: PROVIDERS,
    roles: ROLES,
    clock: { nowMs: () => nowMs, monotonicMs: () => 0 },
  });
  const { body } = await ask(kms.emulator.url, { DurationSeconds: '900' });
  const field = (name: string): string => new RegExp(`<${name}>(.*?)</${name}>`).exec(body)?.[1] ?? '';
  t.equal(field('Expiration'), new Date(nowMs + 900_000).toISOString());
  const credentials = {
    accessKeyId: field('AccessKeyId'),
    secretAccessKey: field('SecretAccessKey'),
    sessionToken: field('SessionToken'),
  };
  const KeyId = await makeKey(kms.client('admin'), policyOf(ADMIN_MAY_ALL, engineMay(['kms:DescribeKey'])));
  const client = () => kms.client('engine', { credentials, systemClockOffset: nowMs - Date.now() });
  t.ok(await client().send(new DescribeKeyCommand({ KeyId })));
  nowMs += 900_000;
  await t.rejects(client().send(new DescribeKeyCommand({ KeyId })), {
    name: 'ExpiredTokenException',
    message: 'The security token included in the request is expired',
  });
});

t.test('RS256 and ES256 are taken, by GET and by POST', async (t) => {
  const { emulator } = await start(t);
  t.match(await ask(emulator.url), {
    status: 200,
    body: /<SubjectFromWebIdentityToken>system:serviceaccount:kms:engine</,
  });
  t.match(await ask(emulator.url, { WebIdentityToken: token(CLAIMS, { alg: 'ES256', kid: 'e' }) }), { status: 200 });
  t.match(
    await ask(emulator.url, { WebIdentityToken: token({ ...CLAIMS, aud: 'sts.amazonaws.com' }, { alg: 'RS256' }) }),
    { status: 200 },
  );
  const query = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: ENGINE_ARN,
    RoleSessionName: 'by-get',
    WebIdentityToken: token(),
  });
  const got = await fetch(`${emulator.url}/?${query}`);
  t.equal(got.status, 200);
  t.match(await got.text(), /assumed-role\/engine\/by-get/);
});

t.test('tokens and requests that are not good are refused with the names of STS', async (t) => {
  const { emulator } = await start(t);
  const good = token();
  const [head = '', body = '', signature = ''] = good.split('.');
  const secret = JSON.stringify(PROVIDERS[0]?.keys[0]);
  const confused = `${part({ alg: 'HS256', kid: 'r' })}.${body}`;
  const cases: readonly [string, Record<string, string>, string][] = [
    ['no token', { WebIdentityToken: '' }, 'ValidationError'],
    ['no JWT', { WebIdentityToken: 'abc' }, 'InvalidIdentityToken'],
    ['not JSON', { WebIdentityToken: 'a.b.c' }, 'InvalidIdentityToken'],
    ['too long', { WebIdentityToken: 'a'.repeat(20_001) }, 'InvalidIdentityToken'],
    ['unsigned', { WebIdentityToken: `${part({ alg: 'none' })}.${body}.` }, 'InvalidIdentityToken'],
    [
      'a MAC under the public key',
      { WebIdentityToken: `${confused}.${createHmac('sha256', secret).update(confused).digest('base64url')}` },
      'InvalidIdentityToken',
    ],
    [
      'an algorithm of the prototype',
      { WebIdentityToken: `${part({ alg: 'constructor' })}.${body}.${signature}` },
      'InvalidIdentityToken',
    ],
    [
      'other claims under the signature',
      { WebIdentityToken: `${head}.${part({ ...CLAIMS, sub: 'x' })}.${signature}` },
      'InvalidIdentityToken',
    ],
    ['another key id', { WebIdentityToken: token(CLAIMS, { alg: 'RS256', kid: 'x' }) }, 'InvalidIdentityToken'],
    [
      'the key of another algorithm',
      { WebIdentityToken: token(CLAIMS, { alg: 'RS256', kid: 'e' }) },
      'InvalidIdentityToken',
    ],
    [
      'another issuer',
      { WebIdentityToken: token({ ...CLAIMS, iss: 'https://other.example' }) },
      'InvalidIdentityToken',
    ],
    ['another audience', { WebIdentityToken: token({ ...CLAIMS, aud: 'x' }) }, 'InvalidIdentityToken'],
    ['no end', { WebIdentityToken: token({ ...CLAIMS, exp: undefined }) }, 'InvalidIdentityToken'],
    ['expired', { WebIdentityToken: token({ ...CLAIMS, exp: NOW - 1 }) }, 'ExpiredTokenException'],
    ['another subject', { WebIdentityToken: token({ ...CLAIMS, sub: 'x' }) }, 'AccessDenied'],
    ['another role', { RoleArn: `arn:aws:iam::${ACCOUNT}:role/admin` }, 'AccessDenied'],
    ['a bad session name', { RoleSessionName: 'a b<c>' }, 'ValidationError'],
    ['too short a session', { DurationSeconds: '10' }, 'ValidationError'],
    ['no number', { DurationSeconds: 'x' }, 'ValidationError'],
    ['another version', { Version: '2010-01-01' }, 'InvalidAction'],
    ['another action', { Action: 'GetCallerIdentity' }, 'InvalidAction'],
  ];
  for (const [why, change, code] of cases) {
    const answer = await ask(emulator.url, change);
    t.equal(answer.status, code === 'AccessDenied' ? 403 : 400, why);
    t.match(
      answer.body,
      new RegExp(`<ErrorResponse xmlns="[^"]+"><Error><Type>Sender</Type><Code>${code}</Code>`),
      why,
    );
    t.notMatch(answer.body, '<c>', 'what was sent is not echoed as markup');
  }
});
