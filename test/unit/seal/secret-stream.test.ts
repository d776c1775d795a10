/** The stream over WebAssembly memory is libsodium's own, keeps order, and leaves nothing behind. */
import sodium from 'libsodium-wrappers';
import t from 'tap';
import { CHUNK_BYTES, CHUNK_OVERHEAD, openSecretStream } from '../../../enclave/seal/secret-stream.ts';
import { fixedRandom } from './seal-scene.ts';

await sodium.ready;
const key = fixedRandom(1)(32);
const header = fixedRandom(2)(24);
const bound = fixedRandom(3)(56);
const contents = [0, 1, 15, 16, 17, CHUNK_BYTES].map((sizeBytes, i) => fixedRandom(10 + i)(sizeBytes));

async function pushAll(): Promise<Uint8Array[]> {
  const stream = await openSecretStream(key, header);
  const sealed = contents.map((content, i) => {
    const into = new Uint8Array(content.length + CHUNK_OVERHEAD);
    stream.push(content, bound, i === contents.length - 1, into);
    return into;
  });
  stream.close();
  return sealed;
}

t.test('what it encrypts, the wrapper of libsodium decrypts', async (t) => {
  const state = sodium.crypto_secretstream_xchacha20poly1305_init_pull(header, key);
  for (const [i, sealed] of (await pushAll()).entries()) {
    const opened = sodium.crypto_secretstream_xchacha20poly1305_pull(state, sealed, bound);
    if (opened === false) throw new Error(`libsodium does not open chunk ${i}`);
    t.same(opened.message, contents[i], `chunk ${i}`);
    t.equal(opened.tag, i === contents.length - 1 ? 3 : 0, `tag ${i}`);
  }
});

t.test('what the wrapper encrypts, it decrypts', async (t) => {
  const { state, header: theirs } = sodium.crypto_secretstream_xchacha20poly1305_init_push(key);
  const stream = await openSecretStream(key, theirs);
  for (const [i, content] of contents.entries()) {
    const sealed = sodium.crypto_secretstream_xchacha20poly1305_push(state, content, bound, 0);
    const into = new Uint8Array(content.length);
    t.ok(stream.pull(sealed, bound, false, into), `chunk ${i}`);
    t.same(into, content);
  }
  stream.close();
});

t.test('opens a chunk only in its place, with what it is bound to, under its tag', async (t) => {
  const [first = new Uint8Array(), second = new Uint8Array(), third = new Uint8Array()] = await pushAll();
  const cases: readonly (readonly [string, Uint8Array, Uint8Array, boolean])[] = [
    ['later chunk', second, bound, false],
    ['chunk after that', third, bound, false],
    ['other facts', first, bound.slice(1), false],
    ['no facts', first, new Uint8Array(), false],
    ['as the last', first, bound, true],
    ['changed', first.map((byte, i) => (i === 3 ? byte ^ 1 : byte)), bound, false],
  ];
  for (const [why, sealed, facts, final] of cases) {
    const stream = await openSecretStream(key, header);
    const into = new Uint8Array(sealed.length - CHUNK_OVERHEAD);
    t.notOk(stream.pull(sealed, facts, final, into), why);
    t.ok(
      into.every((byte) => byte === 0),
      `${why}: nothing comes out`,
    );
    stream.close();
  }
});

t.test('refuses what its memory does not hold, and any use after its end', async (t) => {
  await t.rejects(openSecretStream(key.slice(1), header), { code: 'INTERNAL' });
  await t.rejects(openSecretStream(key, header.slice(1)), { code: 'INTERNAL' });
  const stream = await openSecretStream(key, header);
  const large = new Uint8Array(CHUNK_BYTES + 1);
  t.throws(() => stream.push(large, bound, false, new Uint8Array(large.length + CHUNK_OVERHEAD)), { code: 'INTERNAL' });
  t.throws(() => stream.push(new Uint8Array(4), bound, false, new Uint8Array(4)), { code: 'INTERNAL' });
  t.throws(() => stream.pull(new Uint8Array(16), bound, false, new Uint8Array()), { code: 'INTERNAL' });
  t.throws(() => stream.push(new Uint8Array(), new Uint8Array(257), false, new Uint8Array(17)), { code: 'INTERNAL' });
  stream.close();
  stream.close();
  t.throws(() => stream.push(new Uint8Array(), bound, true, new Uint8Array(17)), { code: 'INTERNAL' });
});

t.test('leaves neither content nor keys in the memory of the module', async (t) => {
  const memory = (): Buffer => {
    const { HEAPU8: heap } = Reflect.get(sodium, 'libsodium');
    return Buffer.from(heap.buffer, heap.byteOffset, heap.length);
  };
  const marked = { key: fixedRandom(77)(32), content: fixedRandom(78)(4096) };
  const stream = await openSecretStream(marked.key, header);
  const sealed = new Uint8Array(marked.content.length + CHUNK_OVERHEAD);
  stream.push(marked.content, bound, true, sealed);
  stream.close();
  const other = await openSecretStream(marked.key, header);
  const into = new Uint8Array(marked.content.length);
  t.ok(other.pull(sealed, bound, true, into));
  other.close();
  for (const [name, bytes] of Object.entries(marked)) {
    for (let at = 0; at < bytes.length; at += 16) {
      t.equal(memory().indexOf(bytes.subarray(at, at + 16)), -1, `${name}, from byte ${at}`);
    }
  }
});
