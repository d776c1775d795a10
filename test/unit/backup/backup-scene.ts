/** A party with a sealed vault and a backup of it, in storages that a test may spoil. */
import type { Clock } from '../../../common/clock.ts';
import { createLogger } from '../../../common/log.ts';
import { openBackupVault } from '../../../enclave/backup/backup-vault.ts';
import { BackupFollower, type BackupPlace, type FollowerParts } from '../../../enclave/backup/follow-vault.ts';
import { findBackupAndKey, type KeySearch } from '../../../enclave/backup/found-backup.ts';
import { ownerOf } from '../../../enclave/backup/object-owner.ts';
import { openIdleVault, type RestoreParts, restoreBackup } from '../../../enclave/backup/restore.ts';
import type { DataKeyring } from '../../../enclave/keychain/data-keys.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import { manifestSigner } from '../../../enclave/seal/manifest.ts';
import { ManifestHead } from '../../../enclave/seal/manifest-head.ts';
import { objectSigner } from '../../../enclave/seal/object-signatures.ts';
import { SealedStore } from '../../../enclave/seal/sealed-store.ts';
import * as native from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { ObjectPath, Storage } from '../../../storage/storage.ts';
import { SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { encodePrivateSigKey } from '../../../wire/signing-keys.ts';
import { NODE_SCALAR, pieces } from '../seal/seal-scene.ts';

/** The node of these tests. */
export const NODE = native.NodeKey.fromBytes(NODE_SCALAR);
export const OWNER = ownerOf({ charterDigest: new Uint8Array(48).fill(7), party: 2 });
export const PRIMARY_KEYRING = renamed('first');
export const BACKUP_KEYRING = renamed('second');
export const SIGNING_KEY = `SigningKey/${SIGNING_KEY_ID}`;
/** Names of shares, by number. */
export const keyName = (n: number): string => `FheKeyInfo/${'bb'.repeat(32)}/${n.toString(16).padStart(64, '0')}`;
export const GOVERNANCE = `Governance/${SIGNING_KEY_ID}`;
export const log = createLogger({ name: 'test', level: 'silent' });

/** A keyring that opens only its own keys, as two keys of AWS KMS do. */
function renamed(name: string): DataKeyring {
  const clear = clearKeyring();
  return { ...clear, name };
}

/** A vault of the party's in a storage. */
export async function vaultIn(storage: Storage, { key = NODE, incarnation = 1, keyring = PRIMARY_KEYRING } = {}) {
  const { charterDigest, party, describe } = OWNER;
  const signer = manifestSigner(key);
  const asked = { purpose: 'private-object', charterDigest, party, signer: signer.publicKey } as const;
  const head = await ManifestHead.open({ storage, signer, asked, incarnation, needsFence: false });
  const sealer = { signer: objectSigner(key), keyring };
  const store = new SealedStore({ storage, head, sealer, onLeftover: () => undefined });
  const write = async (name: string, content: Uint8Array): Promise<void> => {
    await store.put(describe(name), pieces(content, 1000), { sizeBytes: content.length });
  };
  return { storage, head, store, describe, write };
}

/** Returns the content of an object. */
export async function contentOf({ store }: { readonly store: SealedStore }, name: string): Promise<Uint8Array> {
  return await store.read(OWNER.describe(name), async (walk) => {
    const parts: Buffer[] = [];
    for await (const piece of walk) parts.push(Buffer.from(piece));
    return Uint8Array.from(Buffer.concat(parts));
  });
}

/** A vault with a signing key, a governance book and two keys. */
export async function filledVault(storage = openMemoryStorage()) {
  const vault = await vaultIn(storage);
  await vault.write(SIGNING_KEY, encodePrivateSigKey(NODE_SCALAR));
  await vault.write(GOVERNANCE, bytesOf(1, 300));
  await vault.write(keyName(1), bytesOf(2, 70_000));
  await vault.write(keyName(2), bytesOf(3, 5000));
  return vault;
}

/** Bytes that tell contents apart. */
export const bytesOf = (seed: number, size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => i * seed);

/** The place of a backup in a storage. */
export function placeIn(storage: Storage, { key = NODE, incarnation = 1, keyring = BACKUP_KEYRING } = {}): BackupPlace {
  const parts = { storage, keyring, key, owner: OWNER, incarnation, needsFence: false, onLeftover: () => undefined };
  return { folder: 'test', keychain: keyring.name, open: () => openBackupVault(parts) };
}

/** A clock that stands until it is set. */
export function standingClock(): Clock & { set(ms: number): void } {
  let now = 1_000;
  return {
    nowMs: () => now,
    monotonicMs: () => now,
    set: (ms) => {
      now = ms;
    },
  };
}

/** A follower of a vault. */
export function followerOf(
  vault: FollowerParts['vault'],
  place: BackupPlace | undefined,
  more: Partial<FollowerParts> = {},
) {
  return new BackupFollower({ vault, place, clock: standingClock(), log, ...more });
}

/** A vault whose backup is complete, and the storages of both. */
export async function backedUp() {
  const [primary, backup] = [openMemoryStorage(), openMemoryStorage()];
  const vault = await filledVault(primary);
  await completeBackup(vault, backup);
  return { vault, primary, backup };
}

/** Copies what a backup does not have yet. */
export async function completeBackup(vault: FollowerParts['vault'], backup: Storage): Promise<void> {
  const follower = followerOf(vault, placeIn(backup));
  await follower.complete();
  await follower.close();
}

/** What the backup is searched with. */
export const search = (backup: Storage, more: Partial<KeySearch> = {}): KeySearch => ({
  storage: backup,
  keyring: BACKUP_KEYRING,
  owner: OWNER,
  address: NODE.address,
  native,
  ...more,
});

/** Restores a backup into a storage, and returns what was done. */
export async function restoreInto(target: Storage, backup: Storage, more: Partial<RestoreParts> = {}) {
  const found = await findBackupAndKey(search(backup));
  const idle = { storage: target, keyring: PRIMARY_KEYRING, needsFence: false, onLeftover: () => undefined };
  return await restoreBackup({
    backup: found,
    keyring: BACKUP_KEYRING,
    target: await openIdleVault(idle, found),
    ...more,
  });
}

/** Returns the path of the one file in which an object of a storage lies. */
export async function fileOf(storage: Storage, name: string): Promise<ObjectPath> {
  const [place, ...more] = await storage.list(name.split('/'));
  if (place === undefined || more.length > 0) throw new Error(`${name}: ${more.length + 1} files`);
  return [...name.split('/'), place];
}

/** Copies all of a storage. */
export async function copyAll(
  from: Storage,
  to: Storage = openMemoryStorage(),
  folder: ObjectPath = [],
): Promise<Storage> {
  for (const name of await from.list(folder)) {
    const path = [...folder, name];
    if (await from.has(path)) await to.put(path, await from.get(path), { replace: true });
    else await copyAll(from, to, path);
  }
  return to;
}
