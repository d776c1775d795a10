/**
 * Keys for AWS as the engine gets them: by a web identity from an emulated STS, from the metadata service of an instance, and
 * what each refuses. Renewed before they end, and asked for once however many want them.
 */
import { generateKeyPairSync, type JsonWebKey, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import t from 'tap';
import type { AwsConfig } from '../../../common/node-config-aws.ts';
import { awsCredentials } from '../../../storage/aws-credentials.ts';
import { ENGINE_ARN, REGION, startTestKms } from '../../helpers/aws-kms.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';

const ISSUER = 'https://oidc.example/cluster';
const SUBJECT = 'system:serviceaccount:kms:engine';
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk: JsonWebKey = { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'r' };
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function token(secondsLeft: number): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: ISSUER, sub: SUBJECT, aud: ['sts.amazonaws.com'], iat: now - 7200, exp: now + secondsLeft };
  const text = `${part({ alg: 'RS256', kid: 'r' })}.${part(claims)}`;
  return `${text}.${sign('sha256', Buffer.from(text), rsa.privateKey).toString('base64url')}`;
}

async function webIdentity(t: Teardown, content: string | undefined): Promise<AwsConfig> {
  const { emulator } = await startTestKms(t, {
    providers: [{ issuer: ISSUER, keys: [jwk] }],
    roles: [{ arn: ENGINE_ARN, issuer: ISSUER, audience: 'sts.amazonaws.com', subject: SUBJECT }],
  });
  const path = join(tempDir(t), 'token');
  if (content !== undefined) writeFileSync(path, content);
  return {
    region: REGION,
    role_arn: ENGINE_ARN,
    web_identity_token_path: path,
    instance_role: false,
    developer_sts_endpoint: emulator.url,
  };
}

const INSTANCE: AwsConfig = { region: REGION, instance_role: true };

/** A metadata service; what it answers comes from the test. */
async function metadata(t: Teardown, answer: (asked: IncomingMessage) => readonly [number, string]): Promise<string> {
  const server = createServer((asked: IncomingMessage, response: ServerResponse) => {
    const [status, body] = answer(asked);
    response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  // Listening on a port, so its address is one with a port.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The service of an instance with a role, as AWS documents it. */
function instance(ends: () => Date): (asked: IncomingMessage) => readonly [number, string] {
  return ({ method, url, headers }) => {
    if (url === '/latest/api/token') {
      return method === 'PUT' && headers['x-aws-ec2-metadata-token-ttl-seconds'] ? [200, 'session-token'] : [400, ''];
    }
    if (headers['x-aws-ec2-metadata-token'] !== 'session-token') return [401, ''];
    if (url === '/latest/meta-data/iam/security-credentials/') return [200, 'arca-engine'];
    if (url !== '/latest/meta-data/iam/security-credentials/arca-engine') return [404, ''];
    const keys = {
      AccessKeyId: 'ASIA1',
      SecretAccessKey: 'hidden words',
      Token: 'T',
      Expiration: ends().toISOString(),
    };
    return [200, JSON.stringify({ Code: 'Success', ...keys })];
  };
}

t.test('a web identity is exchanged for keys of the role', async (t) => {
  const source = awsCredentials(await webIdentity(t, `${token(3600)}\n`));
  const keys = await source();
  t.match(keys, { accessKeyId: /^ASIA/, secretAccessKey: /./, sessionToken: /./, expiration: Date });
  t.same(await source(), keys, 'the same while they hold');
  t.not(await source(), keys, 'in an object of its own');
});

t.test('what STS refuses is told with its cure, and never with the token', async (t) => {
  const cases = [
    [token(-60), { code: 'PERMISSION_DENIED', message: /has expired: see why its file is not renewed/ }],
    ['no.token.at-all', { code: 'PERMISSION_DENIED', message: /AWS STS/ }],
    [undefined, { code: 'CONFIG_INVALID', message: /web_identity_token_path: .* cannot be read: ENOENT/ }],
  ] as const;
  for (const [content, wanted] of cases) {
    const error = await t.rejects(awsCredentials(await webIdentity(t, content))(), wanted);
    t.notOk(inspect(error, { depth: 9 }).includes('eyJ'), 'no part of a token');
  }
});

t.test('an instance with a role gives its keys, which are renewed before they end', async (t) => {
  let nowMs = Date.now();
  let asked = 0;
  const serve = instance(() => new Date(nowMs + 3_600_000));
  let isDown = false;
  const endpoint = await metadata(t, (request) => {
    if (request.url?.endsWith('arca-engine')) asked += 1;
    return isDown ? [503, ''] : serve(request);
  });
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const source = awsCredentials(INSTANCE, { clock, metadataEndpoint: endpoint });
  const all = await Promise.all([1, 2, 3].map(() => source()));
  t.match(all, [{ accessKeyId: 'ASIA1' }, { sessionToken: 'T' }, {}]);
  t.equal(asked, 1, 'asked once for all three');
  nowMs += 3_200_000;
  await source();
  t.equal(asked, 1, 'they hold');
  nowMs += 200_000;
  isDown = true;
  t.match(await source(), { accessKeyId: 'ASIA1' }, 'the old ones, while they still hold');
  isDown = false;
  nowMs += 30_000;
  await source();
  t.equal(asked, 2, 'and new ones as soon as there are some');
  isDown = true;
  nowMs += 4_000_000;
  await t.rejects(source(), { code: 'UNAVAILABLE' }, 'none that have ended');
});

t.test('an instance without role, one that allows no token, and no instance at all are told apart', async (t) => {
  const whole = instance(() => new Date(Date.now() + 3_600_000));
  const cases = [
    [(asked) => (asked.url?.endsWith('credentials/') ? [404, ''] : whole(asked)), /give the instance a role/],
    [(asked) => (asked.url?.endsWith('token') ? [403, ''] : whole(asked)), /allow IMDSv2/],
    [(asked) => (asked.url?.endsWith('credentials/') ? [200, '../x'] : whole(asked)), /names no role/],
    [
      (asked) => (asked.url?.endsWith('arca-engine') ? [200, '{"AccessKeyId":"hidden words"}'] : whole(asked)),
      /without keys/,
    ],
    [(asked) => (asked.url?.endsWith('arca-engine') ? [200, 'x'.repeat(70_000)] : whole(asked)), /cannot be reached/],
  ] as readonly (readonly [(asked: IncomingMessage) => readonly [number, string], RegExp])[];
  for (const [answer, message] of cases) {
    const source = awsCredentials(INSTANCE, { metadataEndpoint: await metadata(t, answer) });
    const error = await t.rejects(source(), { message });
    t.notOk(inspect(error, { depth: 9 }).includes('hidden words'), 'no part of an answer');
  }
  const gone = await metadata(t, whole);
  const source = awsCredentials(INSTANCE, {
    metadataEndpoint: gone,
    connect: (host, port) =>
      connectTcp({ host, port }).destroy(Object.assign(new Error('x'), { code: 'EHOSTUNREACH' })),
  });
  await t.rejects(source(), { code: 'UNAVAILABLE', message: /metadata service of the instance cannot be reached/ });
});

t.test('every byte goes through the relay that it is given', async (t) => {
  const endpoint = await metadata(
    t,
    instance(() => new Date(Date.now() + 3_600_000)),
  );
  const through: string[] = [];
  const connect = (host: string, port: number) => {
    through.push(`${host}:${port}`);
    return connectTcp({ host, port });
  };
  await awsCredentials(INSTANCE, { metadataEndpoint: endpoint, connect })();
  t.same(new Set(through), new Set([endpoint.replace('http://', '')]));
});

t.test('a configuration without a source of keys gets none', async (t) => {
  t.throws(() => awsCredentials({ region: REGION, instance_role: false }), { code: 'CONFIG_INVALID' });
});
