/** Taking over the vaults of a node of the published layout, in clear. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { folderStore } from '../../../enclave/import/foreign-store.ts';
import { ForeignVault } from '../../../enclave/import/foreign-vault.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { openDecryption, partialDecrypt } from '../../../native/engine/index.ts';
import { recoverSigner } from '../../../native/engine/public.ts';
import type { Storage } from '../../../storage/storage.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import { DEFAULT_EPOCH_ID, SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { fromLittleEndian, testKeySet } from '../../helpers/fhe-key-set.ts';
import {
  CRS,
  KEY,
  newNode,
  OLD_EPOCH,
  oldNode,
  opened,
  signedDigest,
  takeOver,
  written,
} from '../../helpers/foreign-node.ts';
import { keyHandles, publicFile } from '../../helpers/foreign-vault.ts';
import { present } from '../../helpers/present.ts';
import { TEST_NAMES, testMaskKeys } from '../../helpers/threshold-keys.ts';
import { loadShares } from '../keys/dealing-parties.ts';
import { addressOf, fencedMemory, openVault } from '../vault/sealed-scene.ts';

const compressed = await testKeySet(t);
const COMPRESSED = ['PublicKey', 'CompressedXofKeySet'] as const;
const UNCOMPRESSED = ['ServerKey', 'PublicKey'] as const;
const [BIG_COMPRESSED, EUINT64] = [2, 5];

t.test('a vault that was never used becomes the old node: its address, key, CRS and signatures', async (t) => {
  const old = await oldNode(t, compressed, COMPRESSED);
  const target = await newNode({ isEmpty: true });
  const steps: string[] = [];
  const done = await takeOver(old.vault(), target, { onStep: (step) => steps.push(step) });
  t.same(steps, ['reading', 'publishing', 'storing']);
  t.same([done.identity, done.address, done.left], ['adopted', formatAddress(old.address), []]);
  t.ok(await target.vault.has(['SigningKey', SIGNING_KEY_ID]));
  const { metadata, ...rest } = await opened(target, compressed, 9n);
  t.same(rest, { value: 9n, provenance: 'imported', crs: [CRS] });
  t.same(metadata.externalSignature, old.facts.signature, 'the signature that was handed out stays');
  t.same(await target.publicVault.get(['PublicKey', KEY]), publicFile(compressed.folder, 'PublicKey'));
  t.same(await target.publicVault.list(['CRS']), [CRS]);
});

t.test('a node with a signing key of its own keeps it, and signs what it takes over', async (t) => {
  const old = await oldNode(t, compressed, COMPRESSED, { metadataVersion: 2 });
  const target = await newNode();
  const done = await takeOver(old.vault(), target);
  t.equal(done.identity, 'own');
  const { metadata, ...rest } = await opened(target, compressed, 9n);
  t.same(rest, { value: 9n, provenance: 'imported', crs: [CRS] });
  const signer = recoverSigner(signedDigest(metadata), metadata.externalSignature);
  t.notSame(signer, old.address);
  t.same(metadata.extraData, Uint8Array.of(0), 'over the extra data that it had');
});

t.test('each party takes its own shares; together they open what the old quorum could', async (t) => {
  const n = 4;
  const forms = [{}, { version: 2 }, { privateVersion: 2 }, { materialVersion: 1 }] as const;
  const contributions = new Map<number, Uint8Array>();
  const ciphertext = await compressed.evaluation.encrypt(0xdead_beefn, EUINT64, BIG_COMPRESSED);
  const sharingIds = new Set<string>();
  for (const party of [1, 2, 3, 4]) {
    const old = await oldNode(t, compressed, COMPRESSED, { n, party, form: forms[party - 1] ?? {} });
    const target = await newNode({ n, party });
    const done = await takeOver(old.vault(), target);
    t.match(done.objects, [{ type: 'FheKeyInfo', params: 'test' }, { type: 'CrsInfo' }]);
    const catalogue = await loadShares(target.vault, party);
    const held = catalogue.shares(DEFAULT_EPOCH_ID, KEY);
    t.same([held.provenance, held.shares.party, held.shares.hasZeros], ['imported', party, false]);
    sharingIds.add(Buffer.from(held.shares.sharingId).toString('hex'));
    using masks = testMaskKeys(n, 1, party);
    const items = [{ ciphertext, fheType: EUINT64, format: BIG_COMPRESSED }];
    contributions.set(party, present((await partialDecrypt({ shares: held.shares, masks, ...TEST_NAMES, items }))[0]));
    catalogue.dispose();
  }
  t.equal(sharingIds.size, 1, 'all parties call the sharing the same');
  const opened = await openDecryption({ n, t: 1, fheType: EUINT64, format: BIG_COMPRESSED, contributions });
  t.equal(fromLittleEndian(present(opened).plaintext), 0xdead_beefn);
});

t.test('shares with public material of every form are read', async (t) => {
  const uncompressed = await testKeySet(t, 'uncompressed');
  for (const [types, set, form] of [
    [UNCOMPRESSED, uncompressed, {}],
    [UNCOMPRESSED, uncompressed, { version: 1 }],
    [UNCOMPRESSED, uncompressed, { materialVersion: 0 }],
    [COMPRESSED, compressed, { version: 2, privateVersion: 2 }],
  ] as const) {
    const old = await oldNode(t, set, types, { n: 4, form });
    const done = await takeOver(old.vault(), await newNode({ n: 4 }));
    t.match(done.objects, [{ type: 'FheKeyInfo', id: KEY }, { type: 'CrsInfo' }], JSON.stringify(form));
  }
});

t.test('what is not what the old node published is refused, all of it by name, and nothing is written', async (t) => {
  const target = await newNode();
  const refused = async (what: string, code: string, message: RegExp, spoil: (old: Old) => unknown) => {
    const old = await oldNode(t, compressed, COMPRESSED);
    await spoil(old);
    await t.rejects(takeOver(old.vault(), target), { code, message }, what);
    t.same(await written(target), []);
  };
  const spoilPublic = (type: string, id: string, content: string) => (old: Old) =>
    writeFileSync(join(old.publicFolder, type, id), content);
  await refused('another CRS', 'STATE_INVALID', /CRS\/c1/, spoilPublic('CRS', CRS, 'another'));
  await refused('two other objects', 'STATE_INVALID', /PublicKey.*CompressedXofKeySet/, async (old) => {
    spoilPublic('PublicKey', KEY, 'x')(old);
    spoilPublic('CompressedXofKeySet', KEY, 'y')(old);
  });
  await refused('another address', 'STATE_INVALID', /another node/, async (old) => {
    writeFileSync(join(old.publicFolder, 'VerfAddress', SIGNING_KEY_ID), formatAddress(new Uint8Array(20)));
  });
  await refused('another client key', 'KEY_INVALID', /do not belong/, async (old) => {
    const other = await testKeySet(t);
    await old.put(['FhePrivateKey', DEFAULT_EPOCH_ID, KEY], keyHandles(other.key, old.facts));
  });
  await refused('an object under another id', 'STATE_INVALID', /another id/, async (old) => {
    await old.put(['FhePrivateKey', DEFAULT_EPOCH_ID, 'dd'.repeat(32)], keyHandles(compressed.key, old.facts));
  });
  await refused('a key set of a release without metadata', 'REQUEST_INVALID', /version/, async (old) => {
    await old.put(['FhePrivateKey', DEFAULT_EPOCH_ID, KEY], keyHandles(compressed.key, old.facts, 0));
  });
  await refused('a cut key', 'KEY_INVALID', /./, async (old) => {
    const whole = keyHandles(compressed.key, old.facts);
    await old.put(['FhePrivateKey', DEFAULT_EPOCH_ID, KEY], whole.subarray(0, 9000));
  });
  await refused('more behind a key', 'REQUEST_INVALID', /after the end/, async (old) => {
    const whole = keyHandles(compressed.key, old.facts);
    await old.put(['FhePrivateKey', DEFAULT_EPOCH_ID, KEY], Uint8Array.of(...whole, 0));
  });
  await refused('what bears no id', 'REQUEST_INVALID', /bears? an? id|does not bear/, (old) =>
    old.put(['CrsInfo', DEFAULT_EPOCH_ID, 'notes'], Uint8Array.of(1)),
  );
  await refused('a layout before epochs', 'REQUEST_INVALID', /epoch/, (old) =>
    old.put(['FheKeyInfo', KEY], Uint8Array.of(1)),
  );
  await refused('shares', 'PRECONDITION_FAILED', /shares of a party/, (old) =>
    old.put(['FheKeyInfo', DEFAULT_EPOCH_ID, KEY], Uint8Array.of(1)),
  );
});
type Old = Awaited<ReturnType<typeof oldNode>>;

t.test('shares of another party, of the small ring, or without keys that decryption needs, are refused', async (t) => {
  for (const [form, message] of [
    [{ owner: 2 }, /another party/],
    [{ small: true }, /smaller ring/],
    [{ privateVersion: 1 }, /smaller ring/],
    [{ withoutSquash: true }, /noise squashing/],
  ] as const) {
    const old = await oldNode(t, compressed, COMPRESSED, { n: 4, form });
    const target = await newNode({ n: 4 });
    await t.rejects(takeOver(old.vault(), target), { code: 'KEY_INVALID', message });
    t.same(await written(target), []);
  }
  const whole = await oldNode(t, compressed, COMPRESSED);
  await t.rejects(takeOver(whole.vault(), await newNode({ n: 4 })), {
    code: 'PRECONDITION_FAILED',
    message: /whole key/,
  });
});

t.test('the newest epoch of a key counts; parties need the epoch here, or name another', async (t) => {
  const old = await oldNode(t, compressed, COMPRESSED, { n: 4, epoch: OLD_EPOCH });
  const older = `08${'00'.repeat(30)}02`;
  await old.put(['FheKeyInfo', older, KEY], Uint8Array.of(1));
  await old.put(['Context', older], Uint8Array.of(1));
  const target = await newNode({ n: 4 });
  await t.rejects(takeOver(old.vault(), target), { code: 'PRECONDITION_FAILED', message: new RegExp(OLD_EPOCH) });
  const done = await takeOver(old.vault(), target, { epochId: DEFAULT_EPOCH_ID });
  t.match(done, { left: ['Context'], objects: [{ epochId: DEFAULT_EPOCH_ID }, { epochId: DEFAULT_EPOCH_ID }] });
  const again = takeOver(old.vault(), target, { epochId: DEFAULT_EPOCH_ID });
  await t.rejects(again, { code: 'ALREADY_EXISTS', message: /FheKeyInfo.*CrsInfo/ });
});

t.test('an import that fails on its way takes back what it wrote', async (t) => {
  const old = await oldNode(t, compressed, COMPRESSED);
  const target = await newNode({ isEmpty: true });
  const full: Storage = {
    ...target.storage,
    put: async (path, ...rest) => {
      if (path[0] === 'CrsInfo') throw new KmsError('STORAGE_FULL', 'no room');
      return await target.storage.put(path, ...rest);
    },
  };
  const vault = new PrivateVault(clearKeeper(full));
  await t.rejects(takeOver(old.vault(), { ...target, vault }), { code: 'STORAGE_FULL' });
  t.same(await target.storage.list([]), [], 'not even the signing key stays');
  t.same(await target.publicVault.list([]), []);
  t.equal((await takeOver(old.vault(), target)).identity, 'adopted', 'and it succeeds later');
});

t.test('folders that are not there are named', async (t) => {
  const old = await oldNode(t, compressed, COMPRESSED);
  const [secret, published] = [folderStore('/nowhere'), folderStore(old.publicFolder)];
  const nowhere = new ForeignVault({ secret, published });
  await t.rejects(takeOver(nowhere, await newNode()), { code: 'NOT_FOUND', message: /\/nowhere/ });
});

t.test('in a sealed vault it is sealed, signed and in the manifest like everything else', async (t) => {
  const old = await oldNode(t, compressed, COMPRESSED);
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  const target = { ...(await newNode()), vault: first.vault };
  t.equal(
    (await takeOver(old.vault(), target)).identity,
    'own',
    'a sealed vault has a signing key from its first start',
  );
  const names = [`FhePrivateKey/${DEFAULT_EPOCH_ID}/${KEY}`, `CrsInfo/${DEFAULT_EPOCH_ID}/${CRS}`];
  for (const name of names) t.ok(present(first.sealed).head.entry(name)?.writing, `${name} is in the manifest`);
  await first.close();
  const again = await openVault(t, { storage, address: addressOf(first) });
  const { value, provenance, metadata } = await opened({ ...target, vault: again.vault }, compressed, 11n);
  t.same([value, provenance], [11n, 'imported'], 'the next start opens it');
  t.same(recoverSigner(signedDigest(metadata), metadata.externalSignature), addressOf(first));
});
