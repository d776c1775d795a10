/**
 * What routes and allow-lists may say, and whom an entry stands for.
 */
import fc from 'fast-check';
import t from 'tap';
import { isAllowed, parseAllowed } from '../../../vsock-proxy/allow-list.ts';
import { parseEndPoint, parseHostPort } from '../../../vsock-proxy/end-point.ts';

const list = (...entries: string[]) => entries.flatMap((text) => parseAllowed(text) ?? []);
const allows = (entries: string[], target: string): boolean => {
  const address = parseHostPort(target);
  return address !== undefined && isAllowed(list(...entries), address);
};

t.test('ends of routes are read', async (t) => {
  for (const [text, end] of [
    ['unix:/run/arca/engine.sock', { kind: 'unix', path: '/run/arca/engine.sock' }],
    ['tcp:127.0.0.1:50200', { kind: 'tcp', host: '127.0.0.1', port: 50_200 }],
    ['tcp:[::1]:50200', { kind: 'tcp', host: '::1', port: 50_200 }],
    ['tcp:S3.Example.COM:443', { kind: 'tcp', host: 's3.example.com', port: 443 }],
    ['vsock:7002', { kind: 'vsock', port: 7002 }],
    ['vsock:4294967294', { kind: 'vsock', port: 0xfffffffe }],
    ['connect', { kind: 'connect' }],
  ] as const) {
    t.same(parseEndPoint(text), end, text);
  }
});

t.test('what is no end of a route is refused', async (t) => {
  const bad = [
    '',
    'unix:',
    'unix:engine.sock',
    `unix:/${'a'.repeat(107)}`,
    'tcp:localhost',
    'tcp:localhost:0',
    'tcp::1:80',
  ];
  const worse = [
    'tcp:a b:80',
    'tcp:a.:80',
    'tcp:ä.de:80',
    'vsock:-1',
    'vsock:4294967295',
    'vsock:1e3',
    'CONNECT',
    'udp:a:1',
  ];
  for (const text of [...bad, ...worse]) t.equal(parseEndPoint(text), undefined, text);
});

t.test('an entry stands for one name and port, or for the names below a domain', async (t) => {
  const entries = [
    'kms.eu-west-1.amazonaws.com:443',
    '*.s3.eu-west-1.amazonaws.com:443',
    '127.0.0.1:4566',
    '[fd00::1]:443',
  ];
  for (const target of [
    'kms.eu-west-1.amazonaws.com:443',
    'KMS.eu-west-1.amazonaws.com:443',
    'bucket.s3.eu-west-1.amazonaws.com:443',
    'a.bucket.s3.eu-west-1.amazonaws.com:443',
    '127.0.0.1:4566',
    '[FD00::1]:443',
  ]) {
    t.ok(allows(entries, target), target);
  }
  for (const target of [
    'kms.eu-west-1.amazonaws.com:80',
    'x.kms.eu-west-1.amazonaws.com:443',
    's3.eu-west-1.amazonaws.com:443',
    'evils3.eu-west-1.amazonaws.com:443',
    'bucket.s3.eu-west-1.amazonaws.com.evil.example:443',
    'bucket.s3.eu-west-1.amazonaws.com.:443',
    '.s3.eu-west-1.amazonaws.com:443',
    '*.s3.eu-west-1.amazonaws.com:443',
    '127.1:4566',
    '2130706433:4566',
    '127.0.0.1:4567',
    '[::ffff:127.0.0.1]:4566',
  ]) {
    t.notOk(allows(entries, target), target);
  }
});

t.test('entries that say too much or nothing are refused', async (t) => {
  for (const text of [
    '*',
    '*:443',
    '*.com:443',
    '*.*.example.com:443',
    'a.*.com:443',
    '*.1.2:443',
    '',
    'example.com',
    'example.com:*',
  ]) {
    t.equal(parseAllowed(text), undefined, text);
  }
});

t.test('no text is allowed by an entry that is not its own', async (t) => {
  const entries = ['kms.example.com:443', '*.s3.example.com:443'];
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii', maxLength: 40 }), (text) => {
      for (const target of [`${text}:443`, `kms.example.com:443${text}`, `kms.example.com${text}:443`]) {
        if (!allows(entries, target)) continue;
        const lower = target.toLowerCase();
        if (lower !== 'kms.example.com:443' && !/^[a-z0-9_.-]+\.s3\.example\.com:443$/.test(lower)) return false;
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.pass('1 property');
});
