/** Response payloads as they are signed. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { BincodeWriter } from '../../../wire/bincode.ts';
import { FHE_TYPES } from '../../../wire/fhe-types.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import {
  decodePublicDecryptionPayload,
  decodeUserDecryptionPayload,
  encodePublicDecryptionPayload,
  encodeUserDecryptionPayload,
  hasPlaintextWidth,
  parseVerificationKeyField,
  verificationKeyField,
} from '../../../wire/payloads.ts';
import { encodeSigncryptionMessage } from '../../../wire/signcryption.ts';
import { idOf } from '../../helpers/requests.ts';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/wire/annex-a.json', import.meta.url), 'utf8'));
const bytes = fc.uint8Array({ maxLength: 60 });

t.test('the plaintext structs are the golden vectors', async (t) => {
  const plaintext = { bytes: Uint8Array.of(1, 2, 3, 4, 5), fheType: 8 };
  t.equal(toHex(encodeSigncryptionMessage(plaintext, fromHex('deadbeef'))), vectors.signcryptionPayload);
  t.equal(toHex(new BincodeWriter().vec(plaintext.bytes).i32(plaintext.fheType).finish()), vectors.typedPlaintext);
});

t.test('the verification key is the byte vector of the compressed point', async (t) => {
  const field = verificationKeyField(fromHex(vectors.k0.publicKey));
  t.equal(toHex(field), vectors.k0.verificationKeyField);
  t.equal(toHex(parseVerificationKeyField(field)), vectors.k0.publicKey);
  for (const bad of [
    field.subarray(1),
    field.subarray(0, 40),
    Buffer.concat([field, field]),
    fromHex(vectors.k0.publicKey),
  ]) {
    t.throws(() => parseVerificationKeyField(bad), { code: 'REQUEST_INVALID' }, `${bad.byteLength} bytes`);
  }
  t.throws(() => parseVerificationKeyField(verificationKeyField(new Uint8Array(32))), { code: 'REQUEST_INVALID' });
});

t.test('a public payload has the published layout and reads back', async (t) => {
  const requestId = parseRequestId(idOf(7));
  const encoded = encodePublicDecryptionPayload({
    verificationKey: Uint8Array.of(9),
    plaintexts: [{ bytes: Uint8Array.of(42), fheType: 2 }],
    requestId,
  });
  const layout = [
    '010000000000000009', // verification key
    '0100000000000000', // one plaintext
    '01000000000000002a02000000', // its byte, its type
    '014000000000000000', // there is a request id, of 64 characters
    toHex(Buffer.from(requestId)),
  ];
  t.equal(toHex(encoded), layout.join(''));
  t.equal(encoded.byteLength, encoded.buffer.byteLength, 'sized exactly');
  fc.assert(
    fc.property(
      bytes,
      fc.array(fc.record({ bytes, fheType: fc.integer() })),
      fc.option(fc.constant(requestId), { nil: undefined }),
      (verificationKey, plaintexts, id) => {
        const payload = { verificationKey, plaintexts, requestId: id };
        const once = encodePublicDecryptionPayload(payload);
        return toHex(encodePublicDecryptionPayload(decodePublicDecryptionPayload(once))) === toHex(once);
      },
    ),
  );
});

t.test('a user payload reads back and is sized exactly', async (t) => {
  const item = fc.record({
    fheType: fc.integer(),
    signcryptedCiphertext: bytes,
    externalHandle: bytes,
    packingFactor: fc.nat(0xffffffff),
  });
  const payloads = fc.record({
    verificationKey: bytes,
    digest: bytes,
    signcryptedCiphertexts: fc.array(item),
    partyId: fc.nat(0xffffffff),
    degree: fc.nat(0xffffffff),
  });
  fc.assert(
    fc.property(payloads, (payload) => {
      const once = encodeUserDecryptionPayload(payload);
      const twice = encodeUserDecryptionPayload(decodeUserDecryptionPayload(once));
      return once.byteLength === once.buffer.byteLength && toHex(twice) === toHex(once);
    }),
  );
  t.pass('1 property');
});

t.test('a payload with bytes after its end is refused', async (t) => {
  const user = encodeUserDecryptionPayload({
    verificationKey: Uint8Array.of(1),
    digest: Uint8Array.of(2),
    signcryptedCiphertexts: [],
    partyId: 1,
    degree: 0,
  });
  const open = encodePublicDecryptionPayload({ verificationKey: Uint8Array.of(1), plaintexts: [] });
  const more = Uint8Array.of(0);
  t.throws(() => decodeUserDecryptionPayload(Buffer.concat([user, more])), { code: 'REQUEST_INVALID' });
  t.throws(() => decodePublicDecryptionPayload(Buffer.concat([open, more])), { code: 'REQUEST_INVALID' });
});

t.test('a plaintext is taken only in the exact width of its type', async (t) => {
  for (const type of FHE_TYPES) {
    for (const sizeBytes of [0, 1, 2, 4, 8, 10, 16, 20, 32, 33, 41, 64, 128, 256, 257]) {
      const plaintext = { bytes: new Uint8Array(sizeBytes), fheType: type.number };
      t.equal(hasPlaintextWidth(plaintext), sizeBytes === type.sizeBytes, `${type.name} of ${sizeBytes} bytes`);
    }
  }
  t.notOk(hasPlaintextWidth({ bytes: new Uint8Array(1), fheType: 99 }), 'unknown type');
});
