/** What tells the bodies of decryptions under one id apart, and that an earlier version's digests still do. */
import { hash } from 'node:crypto';
import t from 'tap';
import { bodyDigest } from '../../../parent/core/rpc/body-digest.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { errorOf } from './handler-helpers.ts';
import { idOf, publicDecryption } from './requests.ts';
import { startTestCore } from './test-core.ts';

const A = idOf('a');
const ITEM = { ciphertext: Uint8Array.of(1), fheType: 5, externalHandle: new Uint8Array(32) };

const ways: readonly (readonly [string, (body: Uint8Array) => string])[] = [
  ['this version', bodyDigest],
  ['an earlier version', (body) => hash('sha256', body, 'hex')],
];
for (const [whose, digestOf] of ways) {
  t.test(`a body is known again by the digest that ${whose} stored, and no other is`, async (t) => {
    const { store, raw, engine } = await startTestCore(t);
    const body = publicDecryption(A);
    const place = { contextId: DEFAULT_CONTEXT_ID, epochId: DEFAULT_EPOCH_ID };
    const entry = store.begin({ kind: 'public_decrypt', id: A, digest: digestOf(body), ...place });
    await store.settle(entry, { state: 'done', response: Uint8Array.of(0x22, 1, 5) });
    t.same(Buffer.from(await raw('PublicDecryptSync', body)), Buffer.of(0x22, 1, 5), 'the answer of then');
    for (const method of ['PublicDecryptSync', 'PublicDecrypt'] as const) {
      const other = await errorOf(raw(method, publicDecryption(A, { ciphertexts: [ITEM] })));
      t.match(other, { status: 6, explanation: 'another request has this id' });
    }
    t.equal(engine.calls.length, 0, 'and the engine was not asked');
  });
}
