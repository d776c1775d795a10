/**
 * Whole engines over one sealed vault: keys come back on another disk, and of two engines the older one ends by itself.
 */
import t from 'tap';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import { sealedVault } from '../../../enclave/vault/sealed-vault.ts';
import type { EngineInfo } from '../../../proto/gen/engine_pb.js';
import type { Storage } from '../../../storage/storage.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { idOf } from '../../helpers/requests.ts';
import { describe, keyGenCall, testEngine } from '../../helpers/test-engine.ts';
import { fencedMemory } from './sealed-scene.ts';

const vaultOn = (storage: Storage) =>
  sealedVault({
    storage,
    needsFence: true,
    hasBackup: false,
    rootKey: async () => ({ keyring: clearKeyring(), policyHash: undefined, wrapsForAnyone: false }),
  });

t.test('a key made in a sealed vault is there when another engine, on an empty disk, takes over', async (t) => {
  const storage = fencedMemory();
  const first = await testEngine(t, { openVault: vaultOn(storage) });
  t.match(first.engine.facts, { keychain: 'clear', incarnation: 1 });
  const link = await first.link();
  await link.call(ENGINE_METHOD.keyGen, keyGenCall());
  const before = await describe(link);
  t.same(await storage.list(['FhePrivateKey', DEFAULT_EPOCH_ID]), [idOf(2)], 'sealed, under its name');
  t.same(await first.storage.list([]), [], 'nothing beside it');
  await first.stop();

  const { folder } = first;
  const second = await testEngine(t, { folder, openVault: vaultOn(storage) });
  t.equal(second.engine.facts.incarnation, 2);
  t.equal(second.engine.facts.address, first.engine.facts.address, 'the same node');
  const after = await describe(await second.link());
  const made = ({ keys }: EngineInfo) => keys.map(({ keyId, epochId }) => ({ keyId, epochId }));
  t.same(made(after), made(before));
  t.equal(made(after).length, 1);
});

t.test('an engine that was replaced ends by itself, with the reason', async (t) => {
  const storage = fencedMemory();
  const first = await testEngine(t, { openVault: vaultOn(storage) });
  // Of the same charter, so on the same folder, where one socket is taken.
  const listener = () => ({ listen: async () => undefined, close: async () => undefined });
  const second = await testEngine(t, { openVault: vaultOn(storage), folder: first.folder, listener });
  t.match(await first.engine.failed, { code: 'ABORTED', message: /another server of this party has taken over/ });
  t.equal(second.engine.facts.incarnation, 2);
});
