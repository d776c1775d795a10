/** Decryption of what the coprocessor's way of encrypting makes, in all types and forms. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { publicDecrypt, publicDecryptSync } from '../../../native/engine/index.ts';
import { FORMATS, fromLittleEndian, PLAINTEXT_BYTES, TYPE_BITS, testKeySet } from '../../helpers/fhe-key-set.ts';

t.test('decrypts every type in every format: zero, all ones and a random value', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  for (const [fheType, bits] of TYPE_BITS.entries()) {
    const most = (1n << BigInt(bits)) - 1n;
    const random = fromLittleEndian(randomBytes(PLAINTEXT_BYTES[fheType] ?? 0)) & most;
    for (const [format, name] of FORMATS.entries()) {
      const values = [0n, most, random];
      const items = [];
      for (const value of values) {
        items.push({ ciphertext: await evaluation.encrypt(value, fheType, format), fheType, format });
      }
      const plaintexts = await publicDecrypt(key, items);
      t.same(plaintexts.map(fromLittleEndian), values, `${bits} bits, ${name}`);
      t.ok(
        plaintexts.every(({ length, buffer }) => length === PLAINTEXT_BYTES[fheType] && buffer.byteLength === length),
        'exactly the type’s width, in a buffer of its own',
      );
    }
  }
});

t.test('decrypts ciphertexts of both layouts alike, in the order of the request', async (t) => {
  const { key, evaluation } = await testKeySet(t, 'uncompressed');
  const values = [7n, 0n, 255n, 128n];
  const items = await Promise.all(
    values.map(async (value, index) => ({
      ciphertext: await evaluation.encrypt(value, 2, index),
      fheType: 2,
      format: index,
    })),
  );
  t.same((await publicDecrypt(key, items)).map(fromLittleEndian), values);
  t.same(publicDecryptSync(key, items).map(fromLittleEndian), values, 'on the calling thread too');
  t.same(await publicDecrypt(key, []), [], 'nothing asked, nothing given');
});

t.test('refuses values that do not fit, and types and formats that do not exist', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  for (const [why, value, fheType, format] of [
    ['negative', -1n, 5, 1],
    ['a bool of 2', 2n, 0, 1],
    ['17 bits', 65536n, 3, 1],
    ['a nibble of 16', 16n, 1, 1],
    ['type 12', 0n, 12, 1],
    ['type -1', 0n, -1, 1],
    ['format 4', 0n, 5, 4],
    ['format -1', 0n, 5, -1],
  ] as const) {
    await t.rejects(evaluation.encrypt(value, fheType, format), { code: 'REQUEST_INVALID' }, why);
  }
  const ciphertext = await evaluation.encrypt(1n, 5, 2);
  for (const [fheType, format] of [
    [12, 2],
    [-1, 2],
    [5, 4],
  ] as const) {
    await t.rejects(publicDecrypt(key, [{ ciphertext, fheType, format }]), { code: 'REQUEST_INVALID' });
  }
});

t.test('refuses a ciphertext of another type or in another form', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  for (const [format, name] of FORMATS.entries()) {
    for (const [held, asked] of [
      [5, 4],
      [5, 6],
      [0, 2],
      [2, 0],
      [2, 1],
    ] as const) {
      const ciphertext = await evaluation.encrypt(1n, held, format);
      const invalid = { code: 'CIPHERTEXT_INVALID' };
      await t.rejects(
        publicDecrypt(key, [{ ciphertext, fheType: asked, format }]),
        invalid,
        `${name} ${held} ${asked}`,
      );
      for (const other of [0, 1, 2, 3].filter((other) => other !== format)) {
        await t.rejects(publicDecrypt(key, [{ ciphertext, fheType: held, format: other }]), invalid, `as ${other}`);
      }
    }
  }
});
