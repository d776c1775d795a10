/**
 * The head of a CONNECT request, as strangers may write it.
 */
import fc from 'fast-check';
import t from 'tap';
import { MAX_HEAD_BYTES, parseConnectHead, REFUSALS, refusalAnswer } from '../../../vsock-proxy/connect-request.ts';

const parse = (text: string) => parseConnectHead(Buffer.from(text, 'latin1'));

t.test('a head names its target; other lines of it say nothing', async (t) => {
  t.same(parse('CONNECT kms.example.com:443 HTTP/1.1\r\n\r\n'), { host: 'kms.example.com', port: 443 });
  const more = 'CONNECT KMS.example.com:443 HTTP/1.0\r\nHost: evil.example:1\r\nUser-Agent: x\r\n\r\n';
  t.same(parse(more), { host: 'kms.example.com', port: 443 });
});

t.test('anything else is none', async (t) => {
  for (const text of [
    '',
    '\r\n\r\n',
    'GET http://a.example/ HTTP/1.1\r\n\r\n',
    'connect a.example:443 HTTP/1.1\r\n\r\n',
    'CONNECT a.example HTTP/1.1\r\n\r\n',
    'CONNECT a.example:443 HTTP/2\r\n\r\n',
    'CONNECT a.example:443\r\n\r\n',
    'CONNECT  a.example:443 HTTP/1.1\r\n\r\n',
    'CONNECT a.example:443 HTTP/1.1\n\n',
    'CONNECT a.example:443 HTTP/1.1\r\nHo\0st: x\r\n\r\n',
    'CONNECT a.example:443 HTTP/1.1\r\nHost: \x80\r\n\r\n',
    'CONNECT a.example:99999 HTTP/1.1\r\n\r\n',
    'CONNECT user@a.example:443 HTTP/1.1\r\n\r\n',
    'CONNECT a.example:443/path HTTP/1.1\r\n\r\n',
    'CONNECT a.example:443 HTTP/1.1\r\n\r\nCONNECT b.example:443 HTTP/1.1\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  ]) {
    t.equal(parse(text), undefined, JSON.stringify(text));
  }
});

t.test('no bytes make it throw, and what it reads is a plain name and a port', async (t) => {
  const part = fc.constantFrom('CONNECT ', 'a.example:443', ' HTTP/1.1', '\r\n', '\r\n\r\n', ' ', ':', '[::1]', '\0');
  const text = fc.oneof(
    fc.array(part, { maxLength: 12 }).map((all) => all.join('')),
    fc.string({ unit: 'binary', maxLength: 200 }),
  );
  fc.assert(
    fc.property(text, (head) => {
      const target = parse(head);
      return target === undefined || (/^[a-z0-9_.:-]+$/.test(target.host) && target.port > 0 && target.port < 65_536);
    }),
    { numRuns: 5000 },
  );
  t.pass('1 property');
});

t.test('each refusal is one whole answer', async (t) => {
  for (const why of ['malformed', 'denied', 'unreachable', 'full', 'timeout'] as const) {
    t.match(refusalAnswer(why), /^HTTP\/1\.1 [45][0-9]{2} [A-Za-z ]+\r\n(?:[A-Za-z-]+: [a-z0-9]+\r\n)+\r\n$/, why);
    t.ok(refusalAnswer(why).includes(REFUSALS[why]));
  }
  t.ok(MAX_HEAD_BYTES <= 4096);
});
