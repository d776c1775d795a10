/**
 * The test helper that looks for secrets in logs finds them when they are there.
 */
import t from 'tap';
import { findLeaks } from '../../helpers/find-leaks.ts';

const bytes = Uint8Array.from({ length: 32 }, (_, i) => (i * 73 + 41) & 0xff);
const part = Buffer.from(bytes.subarray(9, 23));
const secrets = [{ name: 'key', bytes }];

t.test('a piece of a secret is found in every form in which it may be printed', async (t) => {
  const printed = {
    hex: part.toString('hex'),
    'upper-case hex': part.toString('hex').toUpperCase(),
    'hex of odd start': `a${part.toString('hex')}`,
    Base64: part.toString('base64'),
    'URL Base64': part.toString('base64url'),
    'decimal list': [...part].join(', '),
    'JSON of a Buffer': JSON.stringify(part),
    'JSON of a Uint8Array': JSON.stringify(Uint8Array.from(part)),
    'raw bytes': part.toString('latin1'),
  };
  for (const [form, text] of Object.entries(printed)) {
    t.not(findLeaks(`{"event":"x","data":"${text}"}`, secrets).length, 0, form);
  }
});

t.test('public bytes and chance are no leaks', async (t) => {
  t.same(findLeaks(part.toString('hex'), secrets, bytes), [], 'known to all');
  t.same(findLeaks(part.subarray(0, 7).toString('hex'), secrets), [], 'too short to be told from chance');
  t.same(findLeaks('0'.repeat(200), [{ name: 'zeros', bytes: new Uint8Array(64) }]), [], 'zeros stand anywhere');
});
