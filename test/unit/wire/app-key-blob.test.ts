/** `AppKeyBlob` as the published layout has it: what is read, and what is refused. */
import { gcmsiv } from '@noble/ciphers/aes.js';
import fc from 'fast-check';
import t from 'tap';
import { isKmsError } from '../../../common/errors.ts';
import { decodeAppKeyBlob } from '../../../wire/app-key-blob.ts';
import { safe, u32, vec } from '../../helpers/foreign-vault.ts';

const field = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);
const blobOf = (iv: number, tag: number, wrapped = 40): Uint8Array =>
  safe(
    'AppKeyBlob',
    u32(0),
    vec(Buffer.from('alias/root')),
    vec(field(wrapped, 1)),
    vec(field(99, 2)),
    vec(field(iv, 3)),
    vec(field(tag, 4)),
  );
const blob = blobOf(12, 16);

t.test('all fields are found', async (t) => {
  t.same(decodeAppKeyBlob(blob), {
    rootKeyId: 'alias/root',
    wrappedKey: field(40, 1),
    ciphertext: field(99, 2),
    iv: field(12, 3),
    authTag: field(16, 4),
  });
});

t.test('fields of sizes that they cannot have are refused', async (t) => {
  for (const [what, bad] of [
    ['nonce', blobOf(11, 16)],
    ['tag', blobOf(12, 15)],
    ['no wrapped key', blobOf(12, 16, 0)],
    ['a wrapped key that AWS KMS cannot have made', blobOf(12, 16, 6145)],
    ['more behind', Uint8Array.of(...blob, 0)],
    ['another version', safe('AppKeyBlob', u32(1))],
    ['another object', safe('AppKeyBlobs', u32(0))],
  ] as const) {
    t.throws(() => decodeAppKeyBlob(bad), { code: 'REQUEST_INVALID' }, what);
  }
});

t.test('cut blobs are refused, changed ones are read as something else or refused', async (t) => {
  const isRead = (bytes: Uint8Array): boolean => {
    try {
      decodeAppKeyBlob(bytes);
      return true;
    } catch (error) {
      if (isKmsError(error, 'REQUEST_INVALID')) return false;
      throw error;
    }
  };
  fc.assert(fc.property(fc.nat(blob.length - 1), (size) => !isRead(blob.subarray(0, size))));
  fc.assert(
    fc.property(fc.nat(blob.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const bytes = Uint8Array.from(blob);
      bytes[at] = (bytes[at] ?? 0) ^ mask;
      isRead(bytes);
    }),
  );
  t.pass('200 cases');
});

t.test('the cipher is that of RFC 8452, appendix C.2', async (t) => {
  const [key, nonce] = [Uint8Array.of(1, ...field(31, 0)), Uint8Array.of(3, ...field(11, 0))];
  const sealed = Buffer.from('c2ef328e5c71c83b843122130f7364b761e0b97427e3df28', 'hex');
  t.same(gcmsiv(key, nonce).decrypt(sealed), Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
});
