/** An object opens as what it is and as nothing else: each difference has a name, and all of them are told at once. */
import t from 'tap';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import type { ExpectedObject } from '../../../enclave/seal/object-claims.ts';
import { openObject, verifyObject } from '../../../enclave/seal/open-object.ts';
import { askedFor, CLAIMS, faultsOf, fixedSealer, openBytes, pieces, sealBytes, signerOf } from './seal-scene.ts';

const content = new Uint8Array(100).fill(9);
const sealed = await sealBytes(content);
const OTHER_NODE = signerOf(new Uint8Array(32).fill(3));

const CASES: readonly (readonly [string, Partial<ExpectedObject>])[] = [
  ['other-charter', { charterDigest: new Uint8Array(48).fill(8) }],
  ['other-charter', { charterDigest: new Uint8Array(47).fill(7) }],
  ['other-party', { party: 3 }],
  ['other-purpose', { purpose: 'backup-object' }],
  ['other-name', { name: CLAIMS.name.replace('FheKeyInfo', 'FhePrivateKey') }],
  ['other-name', { name: `${CLAIMS.name}0` }],
  ['other-type', { type: 'arca::FhePrivateKey' }],
  ['other-key', { keyId: 'cd'.repeat(32) }],
  ['other-key', { keyId: undefined }],
  ['other-context', { contextId: 'ab'.repeat(32) }],
  ['other-epoch', { epochId: 'ba'.repeat(32) }],
  ['other-epoch', { epochId: undefined }],
  ['other-parameters', { parameters: 'default' }],
  ['other-signer', { signer: OTHER_NODE.publicKey }],
  ['rolled-back', { notBefore: CLAIMS.version + 1 }],
  ['rolled-back', { notBefore: Number.MAX_SAFE_INTEGER }],
];

/** Counts what the keyring is asked. */
function watchedKeyring() {
  const keyring = clearKeyring();
  const asked = { count: 0 };
  const unwrap: typeof keyring.unwrap = (...args) => {
    asked.count++;
    return keyring.unwrap(...args);
  };
  return { keyring: { ...keyring, unwrap }, asked };
}

t.test('opens for who asks for exactly this, at this version or an older one', async (t) => {
  for (const notBefore of [1, 4, 5]) {
    const opened = await openBytes(sealed, { asked: { ...askedFor(), notBefore } });
    t.ok(Buffer.from(opened).equals(content), `at least ${notBefore}`);
  }
  const head = await verifyObject(pieces(sealed), askedFor());
  t.match(head, { name: CLAIMS.name, version: 5, keychain: 'clear', compression: 'none', sizeBytes: 100 });
});

t.test('each difference has its own name, and the keychain is not asked', async (t) => {
  for (const [fault, change] of CASES) {
    const { keyring, asked } = watchedKeyring();
    t.equal(await faultsOf(openBytes(sealed, { asked: { ...askedFor(), ...change }, keyring })), fault, fault);
    t.equal(await faultsOf(verifyObject(pieces(sealed), { ...askedFor(), ...change })), fault, `${fault}, unopened`);
    t.equal(asked.count, 0);
  }
});

t.test('all differences are told at once', async (t) => {
  const asked = { ...askedFor(), party: 9, epochId: undefined, notBefore: 6 };
  t.equal(await faultsOf(openBytes(sealed, { asked })), 'other-party,other-epoch,rolled-back');
  const facts = { fault: 'other-party', version: 5, notBefore: 6, object: CLAIMS.name };
  await t.rejects(openBytes(sealed, { asked }), { code: 'STATE_INVALID', facts });
});

t.test("another node's object does not pass for ours, even under our key's name", async (t) => {
  const theirs = await sealBytes(content, { sealer: { ...fixedSealer(1), signer: OTHER_NODE } });
  t.equal(await faultsOf(openBytes(theirs)), 'other-signer');
  const lying = { publicKey: askedFor().signer, sign: (digest: Uint8Array) => OTHER_NODE.sign(digest) };
  const forged = await sealBytes(content, { sealer: { ...fixedSealer(1), signer: lying } });
  const { keyring, asked } = watchedKeyring();
  t.equal(await faultsOf(openBytes(forged, { keyring })), 'head-forged');
  t.equal(asked.count, 0, 'the keychain is asked for nothing that the node did not write');
});

t.test('a key of another keychain, and a keychain that gives another key', async (t) => {
  const keyring = clearKeyring();
  t.equal(await faultsOf(openBytes(sealed, { keyring: { ...keyring, name: 'aws-kms' } })), 'other-keychain');
  const wrong = { ...keyring, unwrap: async () => new Uint8Array(32).fill(1) };
  t.equal(await faultsOf(openBytes(sealed, { keyring: wrong })), 'other-data-key');
});

t.test('data keys are wiped, used or not', async (t) => {
  const keyring = clearKeyring();
  const seen: Uint8Array[] = [];
  const watched: typeof keyring = {
    ...keyring,
    generate: async (...args) => {
      const made = await keyring.generate(...args);
      seen.push(made.dataKey);
      return made;
    },
    unwrap: async (...args) => {
      const key = await keyring.unwrap(...args);
      seen.push(key);
      return key;
    },
  };
  const made = await sealBytes(content, { sealer: { ...fixedSealer(1), keyring: watched } });
  await openBytes(made, { keyring: watched });
  const wrong = { ...watched, unwrap: async () => seen[seen.push(new Uint8Array(32).fill(1)) - 1] ?? new Uint8Array() };
  await faultsOf(openBytes(made, { keyring: { ...wrong, unwrap: wrong.unwrap as typeof keyring.unwrap } }));
  t.equal(seen.length, 3);
  t.ok(seen.every((key) => key.every((byte) => byte === 0)));
});

t.test('what does not fit into memory is refused before it is fetched', async (t) => {
  const asked = askedFor();
  t.equal(await faultsOf(openBytes(sealed, { maxBytes: 99 })), 'too-large');
  t.equal((await openBytes(sealed, { maxBytes: 100 })).length, 100);
  const none = openObject(
    pieces(await sealBytes(new Uint8Array())),
    asked,
    { keyring: clearKeyring() },
    async (walk) => {
      let count = 0;
      for await (const piece of walk) count += piece.length;
      return count;
    },
  );
  t.equal(await none, 0);
});

t.test('the clear keyring binds keys to objects as others do', async (t) => {
  const keyring = clearKeyring();
  const binding = { purpose: 'private-object', charterDigest: CLAIMS.charterDigest, party: 1, object: 'a' } as const;
  const full = { ...binding, contextId: undefined, epochId: undefined };
  const { wrapped, dataKey } = await keyring.generate(full);
  t.same(await keyring.unwrap(wrapped, full), dataKey);
  for (const other of [
    { ...full, party: 2 },
    { ...full, object: 'b' },
    { ...full, epochId: 'aa' },
  ]) {
    await t.rejects(keyring.unwrap(wrapped, other), { code: 'STATE_INVALID' });
  }
  await t.rejects(keyring.unwrap({ ...wrapped, keyId: 'x' }, full), { code: 'STATE_INVALID' });
  await t.rejects(keyring.unwrap({ ...wrapped, blob: wrapped.blob.slice(1) }, full), { code: 'STATE_INVALID' });
  keyring.close();
});
