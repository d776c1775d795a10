/** A signing key that moves into a sealed vault: into one that was never used, the one that governance named, and once. */
import t, { type Test } from 'tap';
import { NodeKey } from '../../../native/engine/index.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import { addressOf, fencedMemory, openVault, type Start, startVault } from './sealed-scene.ts';

/** The key of a node that moves in, as often as it is asked for. */
function movingKey(t: Test) {
  const key = NodeKey.generate();
  t.teardown(() => key.dispose());
  const firstKey = async (): Promise<NodeKey> => {
    const secret = key.secretBytes();
    try {
      return NodeKey.fromBytes(secret);
    } finally {
      secret.fill(0);
    }
  };
  return { address: key.address, firstKey };
}

t.test('the key that governance has named moves into an empty vault, and the next start finds it', async (t) => {
  const { address, firstKey } = movingKey(t);
  const storage = fencedMemory();
  const first = await openVault(t, { storage, address, firstKey });
  t.same(addressOf(first), address);
  await first.close();
  t.same(addressOf(await openVault(t, { storage, address })), address);
});

t.test('another key than the one that governance has named does not, and nothing is written', async (t) => {
  const [named, stranger] = [movingKey(t), movingKey(t)];
  const storage = fencedMemory();
  const start: Start = { storage, address: named.address, firstKey: stranger.firstKey };
  const message = new RegExp(`that of ${formatAddress(stranger.address)}.* names ${formatAddress(named.address)}`);
  await t.rejects(startVault(t, start), { code: 'STATE_INVALID', message, facts: { fault: 'other-node' } });
  t.same(await storage.list(['SigningKey']), []);
  t.same(await storage.list(['Manifest']), ['lease']);
});

t.test('a key of which a vault is remembered does not move in again', async (t) => {
  const { address, firstKey } = movingKey(t);
  const storage = fencedMemory();
  const recall = async () => [{ by: 'its backup in clear', point: undefined, incarnation: 3 }];
  const again = startVault(t, { storage, address, firstKey, change: { recall } });
  const message = /its backup in clear knows a vault of the key that would move in/;
  await t.rejects(again, { code: 'STATE_INVALID', message, facts: { fault: 'moved-in-before' } });
  t.same(await storage.list(['SigningKey']), []);
});

t.test('a vault in use keeps its key, whoever would move in', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  const own = addressOf(first);
  await first.close();
  t.same(addressOf(await openVault(t, { storage, address: own, firstKey: movingKey(t).firstKey })), own);
});
