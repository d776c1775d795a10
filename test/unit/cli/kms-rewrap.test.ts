/** `arca kms rewrap`, over a real Core, of engines with and without root keys. */
import t from 'tap';
import { RootKeyrings } from '../../../enclave/keychain/root-keyrings.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import { objectSigner } from '../../../enclave/seal/object-signatures.ts';
import { rewrapCall } from '../../../enclave/vault/rewrap-vault.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { filledVault, log, NODE, OWNER } from '../backup/backup-scene.ts';
import { serveCalls } from '../backup/served-backup.ts';
import { arca, jsonOf } from './governed-node.ts';

/** A vault of four objects, none of them under the key `next`. */
async function vault() {
  const { head, store, storage } = await filledVault();
  const owner = { purpose: 'private-object', charterDigest: OWNER.charterDigest, party: OWNER.party } as const;
  const keyring = new RootKeyrings({ keyId: 'next', keyring: clearKeyring() });
  return { head, store, storage, owner, sealer: { signer: objectSigner(NODE), keyring } };
}

t.test('it says how many objects were sealed anew, and under which key', async (t) => {
  const { dir } = await serveCalls(t, { [ENGINE_METHOD.rewrapVault]: rewrapCall(await vault(), log) });
  const done = await arca(dir, 'kms', 'rewrap', '--dir', dir, '--json');
  t.equal(done.code, 0, done.stderr);
  t.same(jsonOf(done), { keyId: 'next', rewrapped: 4, kept: 0 });
  const people = await arca(dir, 'kms', 'rewrap', '--dir', dir);
  t.match(people.stdout, /^ok: the whole vault lies under next\n/);
});

t.test('a node without root keys says so', async (t) => {
  const { head, store, storage, owner, sealer } = await vault();
  const clear = { head, store, storage, owner, sealer: { ...sealer, keyring: clearKeyring() } };
  for (const [sealed, message] of [
    [undefined, /the private vault of this node is not sealed/],
    [clear, /the keychain clear has no root key to move from/],
  ] as const) {
    const { dir } = await serveCalls(t, { [ENGINE_METHOD.rewrapVault]: rewrapCall(sealed, log) });
    const refused = await arca(dir, 'kms', 'rewrap', '--dir', dir);
    t.equal(refused.code, 1);
    t.match(refused.stderr, message);
  }
});
