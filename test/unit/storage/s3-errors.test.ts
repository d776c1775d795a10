/**
 * Everything that can be wrong with a vault in S3 has an error of its own that names the cure, and quotes no secret.
 */
import { connect } from 'node:net';
import t from 'tap';
import type { S3ErrorCode } from '../../../emulators/s3/errors.ts';
import type { KnownCredentials } from '../../../emulators/s3/sigv4.ts';
import { openS3Storage } from '../../../storage/s3/s3-storage.ts';
import { freePorts } from '../../helpers/free-port.ts';
import { KEYS, startS3 } from '../../helpers/s3.ts';
import { bytes, PATH } from './contract.ts';

t.test('what is wrong when a vault is opened', async (t) => {
  const expired: KnownCredentials = { ...KEYS, accessKeyId: 'AKIDEXPIRED', sessionToken: 'token', expiresAtMs: 1 };
  const s3 = await startS3(t, { credentials: [KEYS, expired] });
  s3.emulator.createBucket('far-away', 'ap-south-1');
  const [closed = 0] = await freePorts(1);
  const refuse = (code: string) => (_host: string, _port: number) => {
    const socket = connect({ port: closed, host: '127.0.0.1' });
    socket.destroy(Object.assign(new Error(`getaddrinfo ${code}`), { code }));
    return socket;
  };
  const cases = [
    ['no such bucket', { bucket: 'nobody-has-this' }, 'STATE_INVALID', /does not exist: create it/],
    ['another region', { bucket: 'far-away' }, 'CONFIG_INVALID', /another region/],
    [
      'an unknown key',
      keys({ ...KEYS, accessKeyId: 'AKIDOTHER' }),
      'PERMISSION_DENIED',
      /does not know the access key/,
    ],
    ['a wrong secret', keys({ ...KEYS, secretAccessKey: 'wrong' }), 'PERMISSION_DENIED', /secret key does not belong/],
    ['expired keys', keys(expired), 'PERMISSION_DENIED', /have expired/],
    ['a wrong token', keys({ ...KEYS, sessionToken: 'x' }), 'PERMISSION_DENIED', /session token is not valid/],
    ['nobody there', { developer: { endpoint: `http://127.0.0.1:${closed}` } }, 'UNAVAILABLE', /nothing listens/],
    ['no such name', { connect: refuse('ENOTFOUND') }, 'UNAVAILABLE', /cannot be resolved/],
    ['no DNS', { connect: refuse('EAI_AGAIN') }, 'UNAVAILABLE', /DNS does not answer/],
  ] as const;
  for (const [why, change, code, message] of cases) {
    const error: unknown = await s3.open({ ...change }).catch((e: unknown) => e);
    t.match(error, { name: 'KmsError', code, message }, why);
    if (why === 'another region') t.match(error, { facts: { bucketRegion: 'ap-south-1' } }, 'it says which');
    t.notMatch(JSON.stringify(error), KEYS.secretAccessKey, why);
  }
});

t.test('a refused operation names the action that would allow it', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open();
  await storage.put(PATH, bytes('x'));
  const tries: readonly (readonly [string, string, () => Promise<unknown>])[] = [
    ['HeadObject', 's3:GetObject', () => storage.size(PATH)],
    ['GetObject', 's3:GetObject', () => storage.get(PATH)],
    ['PutObject', 's3:PutObject', () => storage.put(['Q', 'x'], bytes('x'))],
    ['DeleteObject', 's3:DeleteObject', () => storage.delete(PATH)],
    ['ListObjectsV2', 's3:ListBucket', () => storage.list([])],
    ['ListObjectVersions', 's3:ListBucketVersions', () => storage.versions(PATH)],
  ];
  for (const [operation, action, run] of tries) {
    // An answer to HEAD has no body, so the question is asked again as GET.
    const hit = operation === 'HeadObject' ? /HeadObject|GetObject/ : new RegExp(`^${operation}$`);
    s3.fault = (point) => (hit.test(point.operation) ? { kind: 'error', code: 'AccessDenied' } : undefined);
    await t.rejects(
      run(),
      { code: 'PERMISSION_DENIED', message: new RegExp(`allow ${action} to this role`), facts: { action } },
      operation,
    );
  }
  for (const operation of ['ListObjectsV2', 'PutObject', 'DeleteObject']) {
    s3.fault = (point) => (point.operation === operation ? { kind: 'error', code: 'AccessDenied' } : undefined);
    await t.rejects(s3.open(), { code: 'PERMISSION_DENIED' }, `opening, ${operation}`);
  }
});

t.test('a bucket that goes away is not taken for an empty one', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open();
  s3.fault = () => ({ kind: 'error', code: 'NoSuchBucket' });
  const reads: readonly (() => Promise<unknown>)[] = [
    () => storage.has(PATH),
    () => storage.get(PATH),
    () => storage.list([]),
    () => storage.delete(PATH),
  ];
  for (const read of reads) {
    await t.rejects(read(), { code: 'STATE_INVALID', message: /bucket does not exist/ });
  }
});

t.test('codes of the server are passed on if they look like codes, its words never', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open();
  const codes: readonly (readonly [S3ErrorCode, string])[] = [
    ['NotImplemented', 'UNIMPLEMENTED'],
    ['EntityTooLarge', 'RESOURCE_EXHAUSTED'],
    ['RequestTimeTooSkewed', 'STATE_INVALID'],
    ['InvalidArgument', 'INTERNAL'],
    ['PermanentRedirect', 'CONFIG_INVALID'],
  ];
  for (const [cause, code] of codes) {
    s3.fault = () => ({ kind: 'error', code: cause, message: 'words of a stranger' });
    const error: unknown = await storage.list([]).catch((e: unknown) => e);
    t.match(error, { code, facts: { cause, operation: 'ListObjectsV2' } }, cause);
    t.notMatch(error instanceof Error ? error.message : '', /stranger/, cause);
  }
});

t.test('a clock that is wrong is corrected by what the server says', async (t) => {
  const nowMs = () => Date.now() + 3_600_000;
  const s3 = await startS3(t, { clock: { nowMs, monotonicMs: () => performance.now() } });
  const storage = await s3.open();
  t.equal(await storage.put(PATH, bytes('x')), 'stored');
});

t.test('settings that cannot work are refused, all at once', async (t) => {
  const s3 = await startS3(t);
  const cases = [
    [{ bucket: 'UPPER' }, /bucket/],
    [{ bucket: 'a' }, /bucket/],
    [{ bucket: 'a/../b' }, /bucket/],
    [{ bucket: 'dots.in.it', developer: { pathStyle: false } }, /certificate/],
    [{ region: 'evil.example/' }, /region/],
    [{ region: 'eu-west-1.amazonaws.com@evil' }, /region/],
    [{ region: '' }, /region/],
    [{ developer: { endpoint: 'http://x/path' } }, /endpoint/],
    [{ developer: { endpoint: 'http://user:pw@x' } }, /endpoint/],
    [{ developer: { endpoint: 'file:///etc' } }, /endpoint/],
    [{ partBytes: 1 }, /partBytes/],
    [{ attempts: 0 }, /attempts/],
    [{ timeoutMs: 0 }, /timeoutMs/],
    [{ bucket: 'UPPER', region: 'x', partBytes: 0.5 }, /bucket.*region.*partBytes/],
  ] as const;
  for (const [change, message] of cases) {
    const options = { ...s3.options, ...change };
    await t.rejects(openS3Storage(options), { code: 'CONFIG_INVALID', message }, JSON.stringify(change));
  }
  await t.rejects(openS3Storage({ ...s3.options, prefix: '../up' }), { code: 'REQUEST_INVALID' });
});

t.test('without credentials a public vault is read, if its policy says so, and never written', async (t) => {
  const s3 = await startS3(t);
  const mine = await s3.open({ prefix: 'PUB' });
  await mine.put(PATH, bytes('hello'));
  const theirs = await s3.open({ prefix: 'PUB', credentials: 'anonymous' });
  await t.rejects(theirs.get(PATH), { code: 'PERMISSION_DENIED' });
  const { parsePolicy } = await import('../../../emulators/s3/policy.ts');
  s3.bucket.policy = parsePolicy(
    JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: 'arn:aws:s3:::vault/PUB/*' }],
    }),
  );
  t.same(await theirs.get(PATH), bytes('hello'));
  await t.rejects(theirs.list([]), { code: 'PERMISSION_DENIED' });
  await t.rejects(theirs.put(PATH, bytes('x')), { code: 'PRECONDITION_FAILED' });
  await t.rejects(theirs.swap(PATH, bytes('x'), undefined), { code: 'PRECONDITION_FAILED' });
  await t.rejects(theirs.delete(PATH), { code: 'PRECONDITION_FAILED' });
  const plain = await fetch(`${s3.emulator.url}/vault/PUB/PublicKey/aa`);
  t.equal(await plain.text(), 'hello', 'as the published client fetches it');
  const secret = await fetch(`${s3.emulator.url}/vault/PRIV/PublicKey/aa`);
  t.equal(secret.status, 403);
});

function keys(credentials: KnownCredentials) {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const given = { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
  return { credentials: async () => given };
}
