/**
 * A sealed vault over any storage: first start, start from an empty disk, what is refused by name, and who serves.
 */
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { present } from '../../helpers/present.ts';
import { charterOf, MAINNET } from '../attestation/governance/fixtures.ts';
import { addressOf, bytes, copyOf, fencedMemory, openVault, read, SHARES, startVault } from './sealed-scene.ts';

t.test('an empty storage gets a key of its own, and the next start finds it and counts on', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  t.equal(await first.incarnation(), 1);
  await first.vault.put(SHARES, bytes(1, 2, 3));
  await first.close();
  const second = await openVault(t, { storage, address: addressOf(first) });
  t.equal(await second.incarnation(), 2);
  t.same(addressOf(second), addressOf(first), 'the same node');
  t.same(await read(second, SHARES), [1, 2, 3]);
  t.same(await second.vault.list('FheKeyInfo'), [SHARES]);
  t.same(await second.vault.listNode('SigningKey'), [SIGNING_KEY_ID]);
});

t.test('objects are written once, replaced on demand, and gone when they are removed', async (t) => {
  const { vault } = await openVault(t, { storage: fencedMemory() });
  t.equal(vault.keychainName, 'clear');
  await vault.put(SHARES, bytes(1));
  await vault.put(SHARES, bytes(1));
  await t.rejects(vault.put(SHARES, bytes(2)), { code: 'ALREADY_EXISTS' });
  await vault.put(SHARES, bytes(2), { replace: true });
  t.same(await vault.read(SHARES, (content) => [...content]), [2]);
  t.equal(await vault.delete(SHARES), true);
  t.equal(await vault.delete(SHARES), false);
  t.equal(await vault.has(SHARES), false);
  t.same(await vault.list('FheKeyInfo'), []);
  await t.rejects(
    vault.read(SHARES, () => undefined),
    { code: 'NOT_FOUND' },
  );
  await vault.checkKinds();
});

t.test('writers of one name take turns, and all of them count', async (t) => {
  const { vault, sealed } = await openVault(t, { storage: fencedMemory() });
  const path = ['Governance', SIGNING_KEY_ID] as const;
  await Promise.all([1, 2, 3, 4].map((value) => vault.put(path, bytes(value), { replace: true })));
  t.same(await vault.read(path, (content) => [...content]), [4]);
  t.equal(sealed?.head.entry(path.join('/'))?.version, 4);
});

t.test('nothing in the storage is in clear but names', async (t) => {
  const storage = fencedMemory();
  const rootKey = async () => ({ keyring: otherKeyring(), policyHash: undefined, wrapsForAnyone: false });
  const opened = await openVault(t, { storage, rootKey });
  const secret = present(opened.key).secretBytes();
  const words = new TextEncoder().encode('the shares of a key, which nobody may read');
  await opened.vault.put(SHARES, words);
  for (const name of await storage.list([])) {
    const all = await everything(storage, [name]);
    t.notOk(
      all.some((content) => Buffer.from(content).includes(Buffer.from(words))),
      `${name} holds no share`,
    );
    t.notOk(
      all.some((content) => Buffer.from(content).includes(Buffer.from(secret))),
      `${name} holds no key`,
    );
  }
  secret.fill(0);
});

t.test('manifest and objects come and go together', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  await first.vault.put(SHARES, bytes(1));
  await first.close();
  const address = addressOf(first);

  const noHead = await copyOf(storage);
  await noHead.delete(['Manifest', 'head']);
  await t.rejects(openVault(t, { storage: noHead, address }), {
    code: 'STATE_INVALID',
    message: /FheKeyInfo.* but no manifest/,
  });

  const noKey = await copyOf(storage);
  for (const place of await noKey.list(['SigningKey', SIGNING_KEY_ID])) {
    await noKey.delete(['SigningKey', SIGNING_KEY_ID, place]);
  }
  await t.rejects(openVault(t, { storage: noKey, address }), {
    code: 'STATE_INVALID',
    message: /names SigningKey\/.*, but it is not there/,
    facts: { fault: 'no-signing-key' },
  });

  const noShares = await copyOf(storage);
  for (const place of await noShares.list(SHARES)) await noShares.delete([...SHARES, place]);
  const opened = await openVault(t, { storage: noShares, address });
  t.same(await opened.vault.list('FheKeyInfo'), [SHARES], 'the manifest says what there has to be');
  await t.rejects(
    opened.vault.read(SHARES, () => undefined),
    { code: 'STATE_INVALID', message: /FheKeyInfo\/.* cannot be used: the manifest names it, but it is not there/ },
  );

  const junk = await copyOf(storage);
  await junk.put(['Manifest', 'head'], bytes(1, 2, 3), { replace: true });
  await t.rejects(openVault(t, { storage: junk, address }), { code: 'STATE_INVALID', facts: { fault: 'malformed' } });
});

t.test('a vault that is gone is never made anew once governance has named its node', async (t) => {
  const { key } = await openVault(t, { storage: fencedMemory() });
  const address = present(key).address;
  await t.rejects(openVault(t, { storage: fencedMemory(), address }), {
    code: 'STATE_INVALID',
    message: /the private vault is empty, and the governed record names 0x.*: restore the vault from a backup/,
  });
  const empty = fencedMemory();
  const found = await startVault(t, { storage: empty, address, hasBackup: true });
  t.match('lost' in found && found.lost, { address });
  t.same(
    (await empty.list([])).filter((name) => name !== 'Manifest'),
    [],
    'nothing was written',
  );
  t.same(await empty.list(['Manifest']), ['lease']);
});

t.test('the vault of another node, charter or party is refused by name', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  await first.close();
  const stranger = addressOf(await openVault(t, { storage: fencedMemory() }));
  const other = {
    code: 'STATE_INVALID',
    message: /that of 0x.*, and the governed record names 0x/,
    facts: { fault: 'other-node' },
  };
  await t.rejects(openVault(t, { storage: await copyOf(storage), address: stranger }), other);
  const planted = await copyOf(storage);
  const anyone = async () => ({ keyring: clearKeyring(), policyHash: undefined, wrapsForAnyone: true });
  await t.rejects(openVault(t, { storage: planted, rootKey: anyone }), {
    code: 'STATE_INVALID',
    facts: { fault: 'not-enrolled' },
  });
  await t.resolves(openVault(t, { storage: planted, rootKey: anyone, address: addressOf(first) }));
  const second = charterOf({ party: 2 });
  const parties = [{ party: 2, address: addressOf(first) }];
  await t.rejects(
    openVault(t, {
      storage: await copyOf(storage),
      record: { parties, network: MAINNET },
      change: { charter: second },
    }),
    { code: 'STATE_INVALID', message: /sealed under another charter.*sealed by another party/ },
  );
});

t.test('an older state of the vault opens under no newer head', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  await first.vault.put(SHARES, bytes(1));
  const old = await storage.get(['Manifest', 'head']);
  await first.vault.put(SHARES, bytes(2), { replace: true });
  await first.close();
  await storage.put(['Manifest', 'head'], old, { replace: true });
  const rolledBack = await openVault(t, { storage, address: addressOf(first) });
  // Who has nobody to ask cannot tell; what is left of the newer state is of no use to it, and the older is gone.
  await t.rejects(
    rolledBack.vault.read(SHARES, () => undefined),
    { code: 'STATE_INVALID' },
  );
});

t.test('a state that the operator wrote down is the oldest that opens', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  const old = await copyOf(storage);
  await first.vault.put(SHARES, bytes(1));
  const remembered = present(present(first.sealed).head.point);
  await first.close();
  const newer = await openVault(t, { storage, remembered });
  t.same(await read(newer, SHARES), [1], 'the state itself, and what follows it');
  await t.rejects(openVault(t, { storage: old, remembered }), {
    code: 'STATE_INVALID',
    facts: { fault: 'rolled-back' },
  });
  const none = fencedMemory();
  await t.rejects(openVault(t, { storage: none, remembered }), {
    code: 'STATE_INVALID',
    facts: { fault: 'rolled-back' },
  });
  t.same(await none.list([]), ['Manifest'], 'no key was made');
  const fork = { ...remembered, sequence: present(present(newer.sealed).head.point).sequence };
  await t.rejects(openVault(t, { storage, remembered: fork }), { code: 'STATE_INVALID', facts: { fault: 'forked' } });
});

t.test('what is missing before there is a vault is named', async (t) => {
  const storage = fencedMemory();
  const message = /no governed record in the node's files/;
  await t.rejects(openVault(t, { storage, change: { record: undefined } }), { code: 'STATE_INVALID', message });
  await t.rejects(openVault(t, { storage, change: { releases: undefined } }), { message: /no release set/ });
  await t.rejects(openVault(t, { storage, record: { parties: [{ party: 2 }] } }), { message: /names no party 1/ });
  await t.rejects(openVault(t, { storage: openMemoryStorage() }), {
    code: 'CONFIG_INVALID',
    message: /conditional writes/,
  });
  t.same(await storage.list([]), [], 'and nothing was written');
});

t.test('that a root key cannot be used says nothing about the objects', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  await first.vault.put(SHARES, bytes(1));
  await first.close();
  const denied = new KmsError('PERMISSION_DENIED', 'Decrypt: AWS KMS refuses this engine the key: PCR0 differs');
  let isDown = false;
  const keyring = clearKeyring();
  const unwrap: typeof keyring.unwrap = async (...args) => {
    if (isDown) throw denied;
    return await keyring.unwrap(...args);
  };
  const rootKey = async () => ({ keyring: { ...keyring, unwrap }, policyHash: undefined, wrapsForAnyone: false });
  const second = await openVault(t, { storage, rootKey, address: addressOf(first) });
  isDown = true;
  await t.rejects(
    second.vault.read(SHARES, () => undefined),
    denied,
    'as it is, not as a damaged object',
  );
});

/** As the clear keyring, but without the data key beside the object. */
function otherKeyring() {
  const keys = new Map<string, Uint8Array<ArrayBuffer>>();
  const inner = clearKeyring();
  return {
    ...inner,
    name: 'hidden',
    generate: async (binding: Parameters<typeof inner.generate>[0]) => {
      const { dataKey } = await inner.generate(binding);
      keys.set(String(keys.size), Uint8Array.from(dataKey));
      return { dataKey, wrapped: { keyId: 'hidden', blob: Buffer.from(String(keys.size - 1)) } };
    },
    unwrap: async ({ blob }: { blob: Uint8Array }) => Uint8Array.from(present(keys.get(Buffer.from(blob).toString()))),
  };
}

async function everything(storage: Storage, folder: readonly string[]): Promise<Uint8Array[]> {
  if (await storage.has(folder)) return [await storage.get(folder)];
  const found: Uint8Array[] = [];
  for (const name of await storage.list(folder)) found.push(...(await everything(storage, [...folder, name])));
  return found;
}
