/** Imports that are refused, or fail on their way: nothing of them is left. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { clientKeyOf } from '../../helpers/client-key.ts';
import { present } from '../../helpers/present.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { clientKey, compressed, files, KEY, type Node, node, parties, run, uncompressed } from './import-nodes.ts';

type Tap = Pick<typeof t, 'same'>;

async function isUntouched(t: Tap, { storage, publicVault, name }: Node): Promise<void> {
  t.same(await publicVault.list([]), [], `${name} publishes nothing`);
  t.same(
    (await storage.list([])).filter((type) => type.startsWith('Fhe')),
    [],
    `${name} holds nothing`,
  );
}

t.test('public objects of another key are refused, and nothing is written', async (t) => {
  const mixed = tempDir(t);
  copyFileSync(join(compressed.folder, 'CompressedXofKeySet'), join(mixed, 'CompressedXofKeySet'));
  copyFileSync(join(uncompressed.folder, 'PublicKey'), join(mixed, 'PublicKey'));
  const cut = tempDir(t);
  writeFileSync(join(cut, 'PublicKey'), readFileSync(join(compressed.folder, 'PublicKey')));
  writeFileSync(
    join(cut, 'CompressedXofKeySet'),
    readFileSync(join(compressed.folder, 'CompressedXofKeySet')).subarray(9),
  );
  for (const [what, overrides, code] of [
    ['another client key', { clientKey: clientKeyOf(uncompressed.key), material: files(compressed) }, 'KEY_INVALID'],
    ['another public key', { material: files({ folder: mixed }) }, 'KEY_INVALID'],
    ['a cut key set', { material: files({ folder: cut }) }, 'KEY_INVALID'],
    ['no file', { material: files({ folder: join(cut, 'nowhere') }) }, 'NOT_FOUND'],
  ] as const) {
    const nodes = await parties(4);
    await t.rejects(run(nodes, overrides), { code }, what);
    for (const each of nodes) await isUntouched(t, each);
  }
});

t.test('what is no client key is refused', async (t) => {
  const nodes = await parties(4);
  const flipped = Uint8Array.from(clientKey);
  flipped[60] = present(flipped[60]) ^ 0xff;
  for (const [what, bytes] of [
    ['empty', new Uint8Array()],
    ['short', new Uint8Array(7)],
    ['zeros', new Uint8Array(20_000)],
    ['cut', clientKey.subarray(0, clientKey.length - 1)],
    ['cut at the front', clientKey.subarray(1)],
    ['with more behind', Uint8Array.of(...clientKey, 0)],
    ['another version', flipped],
    ['a public key', readFileSync(join(compressed.folder, 'PublicKey'))],
  ] as const) {
    await t.rejects(run(nodes, { clientKey: bytes }), { code: 'KEY_INVALID', message: /no|not/ }, what);
  }
  for (const each of nodes) await isUntouched(t, each);
});

t.test('an id that one party has already is refused for all', async (t) => {
  const nodes = await parties(4);
  await run(nodes);
  await t.rejects(run(nodes), { code: 'ALREADY_EXISTS', message: /node 1.*node 4/ });
  const others = await parties(4);
  await present(others[2]).vault.put(['FhePrivateKey', DEFAULT_EPOCH_ID, KEY], Uint8Array.of(1));
  await t.rejects(run(others), { code: 'ALREADY_EXISTS', message: /node 3 \(FhePrivateKey\)/ });
  await isUntouched(t, present(others[0]));
});

t.test('nodes that are not one whole quorum, or were never started, are refused', async (t) => {
  const all = await parties(4);
  const empty = openMemoryStorage();
  const fresh = { ...(await node(4, { n: 4 })), vault: new PrivateVault(clearKeeper(empty)), name: 'fresh' };
  const unset = { ...(await node(4)), threshold: true, name: 'unset' };
  for (const [what, targets, code, message] of [
    ['one missing', all.slice(0, 3), 'STATE_INVALID', /has 4 parties/],
    ['one twice', [...all.slice(0, 3), present(all[0])], 'STATE_INVALID', /has 4 parties/],
    ['a centralized one', [...all.slice(0, 3), await node(4)], 'STATE_INVALID', /not all/],
    ['two centralized ones', [await node(1), await node(2)], 'STATE_INVALID', /not all/],
    ['none', [], 'STATE_INVALID', /not one/],
    ['another party', [...all.slice(0, 3), await node(4, { n: 4, epochParty: 3 })], 'STATE_INVALID', /party 3 in/],
    [
      'another set-up',
      [...all.slice(0, 3), await node(4, { n: 4, setUpId: new Uint8Array(32) })],
      'STATE_INVALID',
      /other set-ups/,
    ],
    ['no identity', [...all.slice(0, 3), fresh], 'PRECONDITION_FAILED', /fresh has no identity/],
    ['no epoch', [...all.slice(0, 3), unset], 'PRECONDITION_FAILED', /unset has no epoch/],
  ] as const) {
    await t.rejects(run(targets), { code, message }, what);
  }
  for (const each of all) await isUntouched(t, each);
});

t.test('an import that fails on its way takes back what it wrote', async (t) => {
  const full = (storage: Storage, type: string): Storage => ({
    ...storage,
    put: async (path, ...rest) => {
      if (path[0] === type) throw new KmsError('STORAGE_FULL', 'no room');
      return await storage.put(path, ...rest);
    },
  });
  const plain = await parties(4);
  const last = present(plain[3]);
  const publicFull = [...plain.slice(0, 3), { ...last, publicVault: full(last.publicVault, 'CompressedXofKeySet') }];
  await t.rejects(run(publicFull), { code: 'STORAGE_FULL' });
  for (const each of plain) await isUntouched(t, each);
  const vault = new PrivateVault(clearKeeper(full(last.storage, 'FheKeyInfo')));
  await t.rejects(run([...plain.slice(0, 3), { ...last, vault }]), { code: 'STORAGE_FULL' });
  for (const each of plain) await isUntouched(t, each);
  await run(plain);
  t.pass('and succeeds later');
});

t.test('public objects that are there already, and others of that name, stay what they are', async (t) => {
  const target = await node(1);
  const before = Uint8Array.of(1, 2, 3);
  await target.publicVault.put(['CompressedXofKeySet', KEY], before);
  await t.rejects(run([target]), { code: 'ALREADY_EXISTS' });
  t.same(await target.publicVault.get(['CompressedXofKeySet', KEY]), before);
  t.same(await target.publicVault.list(['PublicKey']), []);
});
