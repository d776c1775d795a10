/** The attestation page: good answers, clear refusals, limits that hold against strangers. */
import { create } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import type { Clock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import type { Attest } from '../../../parent/core/admin/attest.ts';
import { attestationPage } from '../../../parent/core/http/attestation.ts';
import { servePublicMaterial } from '../../../parent/core/http/public-material.ts';
import { openSourceLimiter, type SourceLimits } from '../../../parent/core/http/source-limiter.ts';
import type { PublicObjects } from '../../../parent/core/objects/public-objects.ts';
import { AttestResultSchema } from '../../../proto/gen/engine_pb.js';

const NONCE = '00112233445566778899aabbccddeeff';
const RESULT = {
  network: 'dev:test',
  charterDigest: new Uint8Array(48).fill(1),
  party: 1,
  address: new Uint8Array(20).fill(9),
  release: 'arca-1.0.0',
  incarnation: 3n,
};
const echo: Attest = async (nonce) => create(AttestResultSchema, { ...RESULT, document: nonce });
const noObjects: Pick<PublicObjects, 'find'> = { find: async () => undefined };

interface Options {
  readonly attest?: Attest;
  readonly limits?: SourceLimits;
  readonly clock?: Clock;
}

async function start(t: Test, { attest = echo, limits, clock = still() }: Options = {}) {
  const log = createLogger({ name: 'test', level: 'fatal' });
  const attestation = attestationPage({ attest, clock, log, ...(limits ? { limits } : {}) });
  const at = { host: '127.0.0.1', port: 0, setting: 'test' };
  // The test asks for no object; the vault behind the page has its own tests.
  const server = await servePublicMaterial(at, {
    objects: noObjects as PublicObjects,
    bucket: 'kms',
    prefix: 'PUB',
    attestation,
  });
  t.teardown(() => server.close(0));
  return async (path: string, method = 'GET') => {
    const response = await fetch(server.url + path, { method });
    const text = await response.text();
    const json: unknown =
      response.headers.get('content-type') === 'application/json' ? JSON.parse(text || 'null') : text;
    return { status: response.status, json, headers: response.headers };
  };
}

function still(nowMs = 0): Clock & { pass(ms: number): void } {
  let at = nowMs;
  return { nowMs: () => at, monotonicMs: () => at, pass: (ms) => (at += ms) };
}

t.test('serves a document over the nonce, and the facts beside it', async (t) => {
  const get = await start(t);
  const { status, json, headers } = await get(`/attestation?nonce=${NONCE}`);
  t.equal(status, 200);
  t.strictSame(json, {
    label: 'arca-attest-1',
    nonce: NONCE,
    document: Buffer.from(NONCE, 'hex').toString('base64'),
    facts: {
      network: 'dev:test',
      charterDigest: '01'.repeat(48),
      party: 1,
      address: '0x0909090909090909090909090909090909090909',
      release: 'arca-1.0.0',
      incarnation: 3,
    },
  });
  t.equal(headers.get('cache-control'), 'no-store');
  t.equal(headers.get('access-control-allow-origin'), '*', 'any page may check');
  t.equal((await get(`/attestation?nonce=${NONCE.toUpperCase()}`)).status, 200);
  t.equal((await get(`/attestation?nonce=${'ab'.repeat(64)}`)).status, 200, 'the longest');
  t.equal((await get(`/attestation?nonce=${'ab'.repeat(8)}`)).status, 200, 'the shortest');
});

t.test('says what a nonce must be', async (t) => {
  const get = await start(t, { attest: () => Promise.reject(new TypeError('never asked')) });
  for (const query of [
    '',
    '?',
    '?nonce',
    '?nonce=',
    '?Nonce=0011223344556677',
    '?nonce=00112233445566',
    `?nonce=${'ab'.repeat(65)}`,
    '?nonce=001122334455667',
    '?nonce=0x0011223344556677',
    '?nonce=001122334455667g',
    '?nonce=0011223344556677&nonce=0011223344556677',
    `?nonce=${'a'.repeat(8000)}`,
    '?nonce=%00%00%00%00%00%00%00%00',
  ]) {
    const { status, json } = await get(`/attestation${query}`);
    t.equal(status, 400, query.slice(0, 40));
    t.match(json, { error: { code: 'REQUEST_INVALID', message: /nonce/ } }, query.slice(0, 40));
  }
});

t.test('leaves all other paths to the objects', async (t) => {
  const get = await start(t);
  for (const path of ['/attestation/', '/attestation/x', '/Attestation', '/kms/PUB/attestation', '//attestation']) {
    t.equal((await get(`${path}?nonce=${NONCE}`)).status, 404, path);
  }
  t.equal((await get(`/attestation?nonce=${NONCE}`, 'POST')).status, 405);
});

t.test('an engine that is away, slow or without its device is a matter of time', async (t) => {
  const cases = [
    [new KmsError('UNAVAILABLE', 'the engine is down'), 503],
    [new KmsError('DEADLINE_EXCEEDED', 'no answer in time'), 503],
    [new KmsError('ATTESTATION_INVALID', 'the device failed'), 503],
    [new KmsError('RESOURCE_EXHAUSTED', 'busy'), 503],
    [new KmsError('UNIMPLEMENTED', 'an older engine'), 501],
    [new KmsError('INTERNAL', 'internal error'), 500],
    [new TypeError('secret detail'), 500],
  ] as const;
  for (const [error, wanted] of cases) {
    const get = await start(t, { attest: () => Promise.reject(error) });
    const { status, json, headers } = await get(`/attestation?nonce=${NONCE}`);
    t.equal(status, wanted, error.message);
    t.equal(headers.get('retry-after') !== null, wanted === 503, error.message);
    t.notMatch(JSON.stringify(json), 'secret');
  }
});

t.test('limits each source, and all of them together', async (t) => {
  const clock = still();
  const limits = { perSource: { burst: 2, perSecond: 1 }, global: { burst: 3, perSecond: 1 }, maxSources: 10 };
  const get = await start(t, { limits, clock });
  const statuses = async (count: number): Promise<number[]> => {
    const seen: number[] = [];
    for (let at = 0; at < count; at++) seen.push((await get(`/attestation?nonce=${NONCE}`)).status);
    return seen;
  };
  t.strictSame(await statuses(3), [200, 200, 429]);
  t.equal((await get(`/attestation?nonce=${NONCE}`)).headers.get('retry-after'), '1');
  clock.pass(1000);
  t.strictSame(await statuses(2), [200, 429]);

  const limiter = openSourceLimiter(limits, still());
  t.equal(limiter.take('192.0.2.1'), 0);
  t.equal(limiter.take('192.0.2.2'), 0);
  t.equal(limiter.take('192.0.2.3'), 0);
  t.equal(limiter.take('192.0.2.4'), 1, 'all together');
});

t.test('a refused request costs no document', async (t) => {
  let made = 0;
  const limits = { perSource: { burst: 1, perSecond: 0.001 }, global: { burst: 9, perSecond: 9 }, maxSources: 10 };
  const get = await start(t, {
    limits,
    attest: async (nonce) => {
      made++;
      return await echo(nonce);
    },
  });
  for (let at = 0; at < 5; at++) await get(`/attestation?nonce=${NONCE}`);
  t.equal(made, 1);
});

t.test('counts a network of IPv6 as one, and remembers a bounded number of sources', async (t) => {
  const limits = { perSource: { burst: 1, perSecond: 0.001 }, global: { burst: 1e6, perSecond: 1 }, maxSources: 100 };
  const limiter = openSourceLimiter(limits, still());
  const same = [
    ['2001:db8:0:1::1', '2001:db8:0:1:ffff::2'],
    ['2001:db8::1', '2001:DB8:0:0:1::'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['fe80::1%eth0', 'fe80::2'],
    ['::1', '::2'],
  ] as const;
  for (const [first, second] of same) {
    t.equal(limiter.take(first), 0, first);
    t.ok(limiter.take(second) > 0, second);
  }
  t.equal(limiter.take('2001:db8:0:2::1'), 0, 'the next network');
  for (let at = 0; at < 5000; at++) limiter.take(`10.0.${at >> 8}.${at & 255}`);
  t.ok(limiter.take('10.0.19.135') > 0, 'the last one is remembered');
  t.equal(limiter.take('::1'), 0, 'the first one is forgotten');
});
