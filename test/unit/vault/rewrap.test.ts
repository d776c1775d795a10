/** A vault moves from one root key to the next, object by object, whatever comes in between. */
import t, { type Test } from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { symmetricKeyring } from '../../../enclave/keychain/aws-kms.ts';
import { RootKeyrings } from '../../../enclave/keychain/root-keyrings.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import { SealedStore } from '../../../enclave/seal/sealed-store.ts';
import { rewrapVault } from '../../../enclave/vault/rewrap-vault.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { makeRootKey, ourPolicy, scene } from '../../helpers/kms-scene.ts';
import { fill, isWhole, openServer, PATHS, rootsOf } from './rewrap-scene.ts';

/** Two root keys, and a server of the party that seals under the first that is given. */
async function twoKeys(t: Test) {
  const { kms, admin, options, keyArn: oldKey } = await scene(t);
  const newKey = await makeRootKey(admin, await ourPolicy(kms));
  const root = (keyArn: string) => {
    const keyring = symmetricKeyring({ ...options, keyArn });
    t.teardown(() => keyring.close());
    return { keyId: keyArn, keyring };
  };
  let incarnation = 0;
  const server = async (storage: Storage, ...keys: readonly string[]) => {
    const [primary = oldKey, ...previous] = keys;
    return await openServer(storage, ++incarnation, new RootKeyrings(root(primary), previous.map(root)));
  };
  return { oldKey, newKey, server };
}

t.test('everything lies under the new key afterwards, and opens without the old one', async (t) => {
  const { oldKey, newKey, server } = await twoKeys(t);
  const storage = openMemoryStorage();
  await fill(await server(storage, oldKey));
  const between = await server(storage, newKey, oldKey);
  t.ok(await isWhole(between), 'it serves before it rewraps');
  t.same(await rewrapVault(between.parts), { keyId: newKey, rewrapped: 3, kept: 0 });
  t.same(await rootsOf(between), new Set([newKey]));
  t.same(await rewrapVault(between.parts), { keyId: newKey, rewrapped: 0, kept: 3 }, 'a second time does nothing');
  t.ok(await isWhole(await server(storage, newKey)), 'the old key is not needed');
  const behind = await server(storage, oldKey);
  await t.rejects(isWhole(behind), { code: 'STATE_INVALID', message: /does not name/ }, 'nor does it open anything');
});

t.test('one that ends early is gone on with, and what is written meanwhile is not lost', async (t) => {
  const { oldKey, newKey, server } = await twoKeys(t);
  const storage = openMemoryStorage();
  await fill(await server(storage, oldKey));
  const first = await server(storage, newKey, oldKey);
  let puts = 0;
  const failing: Storage = {
    ...storage,
    put: (...args) => {
      if (++puts === 2) return Promise.reject(new KmsError('UNAVAILABLE', 'the storage is gone'));
      return storage.put(...args);
    },
  };
  const { head, sealer } = first.parts;
  const store = new SealedStore({ storage: failing, head, sealer, onLeftover: () => {} });
  await t.rejects(rewrapVault({ ...first.parts, store }), { code: 'UNAVAILABLE' });
  t.same(await rootsOf(first), new Set([oldKey, newKey]));
  t.ok(await isWhole(first));

  const second = await server(storage, newKey, oldKey);
  const governance = Buffer.from('a newer record');
  const [, path] = PATHS;
  if (path === undefined) throw new Error('no path');
  const [done] = await Promise.all([rewrapVault(second.parts), second.vault.put(path, governance, { replace: true })]);
  t.ok(done.rewrapped >= 1 && done.rewrapped + done.kept === 3, JSON.stringify(done));
  t.ok(await second.vault.read(path, (content) => governance.equals(content)), 'the newer writing holds');
  t.same(await rootsOf(second), new Set([newKey]));
});

t.test('what does not open stops it by name, and stays what counts', async (t) => {
  const { oldKey, newKey, server } = await twoKeys(t);
  const storage = openMemoryStorage();
  const before = await server(storage, oldKey);
  await fill(before);
  const name = PATHS[2]?.join('/') ?? '';
  const place = before.parts.head.entry(name)?.writing?.place ?? '';
  const path = [...name.split('/'), place];
  const bytes = await storage.get(path);
  bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1;
  await storage.put(path, bytes, { replace: true });
  const after = await server(storage, newKey, oldKey);
  await t.rejects(rewrapVault(after.parts), { code: 'STATE_INVALID', facts: { object: name, fault: 'damaged' } });
  t.equal(after.parts.head.entry(name)?.version, 1);

  const controller = new AbortController();
  controller.abort();
  await t.rejects(rewrapVault(after.parts, controller.signal), { code: 'CANCELLED' });
});

t.test('a vault without root keys has none to move from', async (t) => {
  const { parts } = await openServer(openMemoryStorage(), 1, clearKeyring());
  await t.rejects(rewrapVault(parts), { code: 'PRECONDITION_FAILED', message: /keychain clear has no root key/ });
});
