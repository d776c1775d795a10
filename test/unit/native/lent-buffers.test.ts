/** Memory that is given back at once: whose it is, and that native work never loses what it reads. */
import t from 'tap';
import { freeBuffer, publicDecrypt } from '../../../native/engine/index.ts';
import { lending } from '../../../native/engine/lent-buffers.ts';
import { fromLittleEndian, testKeySet } from '../../helpers/fhe-key-set.ts';

t.test('a buffer that belongs to its bytes alone is freed, and every view of it is empty', (t) => {
  const bytes = new Uint8Array(100_000);
  const view = bytes.subarray(10);
  freeBuffer(bytes);
  t.ok(bytes.buffer.detached);
  t.same([bytes.byteLength, view.byteLength], [0, 0]);
  t.doesNotThrow(() => freeBuffer(bytes), 'again');
  t.end();
});

t.test('a part of a larger buffer stays, and so do the others’ parts', (t) => {
  const whole = new Uint8Array(100);
  freeBuffer(whole.subarray(0, 50));
  freeBuffer(whole.subarray(0, 0));
  const pooled = Buffer.from('a part of a pool');
  freeBuffer(pooled);
  t.equal(whole.byteLength, 100);
  t.equal(pooled.toString(), 'a part of a pool');
  t.end();
});

t.test('what was lent stays until all work on it has settled, whichever way', async (t) => {
  const bytes = new Uint8Array(100);
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const works = [
    lending([bytes.subarray(50), bytes], () => first.promise),
    lending([bytes], () => second.promise).catch(() => undefined),
  ];
  freeBuffer(bytes);
  t.equal(bytes.byteLength, 100, 'two read it');
  first.resolve();
  await works[0];
  freeBuffer(bytes);
  t.equal(bytes.byteLength, 100, 'one reads it');
  second.reject(new Error('failed'));
  await works[1];
  freeBuffer(bytes);
  t.equal(bytes.byteLength, 0, 'nobody reads it');
});

t.test('ciphertexts under decryption cannot be freed', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  const ciphertext = Uint8Array.from(await evaluation.encrypt(77n, 5, 2));
  const work = publicDecrypt(key, [{ ciphertext, fheType: 5, format: 2 }]);
  freeBuffer(ciphertext);
  t.not(ciphertext.byteLength, 0);
  t.same((await work).map(fromLittleEndian), [77n]);
  freeBuffer(ciphertext);
  t.equal(ciphertext.byteLength, 0);
});
