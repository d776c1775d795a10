/** Names of client certificates: no name can be made to pass for another. */
import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { isListed, parseSubject, subjectOf } from '../../../parent/grpc/client-subject.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';

const COMMON_NAME = '2.5.4.3';
const ORGANIZATION = '2.5.4.10';
const ca = makeTestCa();
const of = (subject: Parameters<typeof ca.issue>[0]['subject']) =>
  subjectOf(new X509Certificate(ca.issue({ subject }).cert));

t.test('gives back any common name as it was certified', async (t) => {
  const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(name, (text) => {
      t.equal(of(text).commonName, text, JSON.stringify(text));
    }),
    { numRuns: 60 },
  );
});

t.test('two subjects are written alike only if they are the same', async (t) => {
  const text = fc.string({ minLength: 1, maxLength: 8 });
  const attributes = fc.array(fc.tuple(fc.constantFrom(COMMON_NAME, ORGANIZATION), text), {
    minLength: 1,
    maxLength: 3,
  });
  fc.assert(
    fc.property(attributes, attributes, (a, b) => {
      const same = JSON.stringify(a) === JSON.stringify(b);
      return (of(a).rfc4514 === of(b).rfc4514) === same;
    }),
    { numRuns: 60 },
  );
  t.pass();
});

t.test('a list names a common name or a whole subject, never one for the other', async (t) => {
  const alice = of('alice');
  t.ok(isListed(alice, ['bob', 'alice']));
  t.ok(isListed(alice, ['CN=alice']));
  for (const list of [[], ['Alice'], ['alice '], ['CN=alice,O=x'], ['O=alice'], ['']]) {
    t.notOk(isListed(alice, list), JSON.stringify(list));
  }
  t.notOk(isListed(of('CN=alice'), ['CN=alice']), 'a common name that looks like a subject');
  t.notOk(isListed(of('x,CN=alice'), ['CN=x,CN=alice']), 'one with a comma in it');
  t.notOk(isListed(of('x\nCN=alice'), ['alice']), 'one with a line break in it');
  t.notOk(isListed(of('x + CN=alice'), ['alice']), 'one with a plus in it');
  const two = of([
    [COMMON_NAME, 'alice'],
    [COMMON_NAME, 'mallory'],
  ]);
  t.notOk(isListed(two, ['alice', 'mallory']), 'two common names are none');
  t.ok(isListed(two, ['CN=mallory,CN=alice']), 'but a whole subject');
});

t.test('an empty subject has no name', async (t) => {
  t.strictSame(subjectOf(new X509Certificate(ca.issue({ subject: [] }).cert)), { commonName: undefined, rfc4514: '' });
  t.notOk(isListed(parseSubject(''), ['']));
});
