/**
 * Rehearses a restore where no second engine can be started, as in an enclave (the other way: enclave/drill/): the signing key
 * and everything else is opened with the second key, restored into memory, read again and compared with the vault. SECRET:
 * contents pass; what is in memory is sealed under keys that end with the drill.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import { openMemoryStorage } from '../../storage/memory-storage.ts';
import { DATA_KEY_BYTES, type DataKeyring } from '../keychain/data-keys.ts';
import type { SealedVault } from '../vault/open-vault.ts';
import { backupFault, findBackupAndKey, type KeySearch } from './found-backup.ts';
import { openIdleVault, restoreBackup } from './restore.ts';

/** What a drill is made with. */
export interface DrillParts extends KeySearch {
  /** The vault that is compared with. */
  readonly sealed: Pick<SealedVault, 'head' | 'store'>;
}

/** What was rehearsed. */
export interface DrillResult {
  readonly objects: number;
  readonly bytes: number;
}

/** More than this is not held in memory. */
const MAX_BYTES = 1024 ** 3;

/**
 * Runs the whole way of a restore.
 *
 * @throws KmsError What would keep the backup from being restored; `RESOURCE_EXHAUSTED` for one that does not fit into memory.
 */
export async function rehearse(parts: DrillParts): Promise<DrillResult> {
  const { keyring, owner, sealed, signal } = parts;
  const backup = await findBackupAndKey(parts);
  const scratch = ephemeralKeyring();
  try {
    const entries = [...backup.manifest.entries].filter(([, { writing }]) => writing !== undefined);
    const bytes = entries.reduce((sum, [, { writing }]) => sum + (writing?.sizeBytes ?? 0), 0);
    if (bytes > MAX_BYTES) {
      const cure = 'rehearse on a second node: `arca restore` into an empty vault';
      throw new KmsError('RESOURCE_EXHAUSTED', `the backup is too large for a drill in memory: ${cure}`, { bytes });
    }
    const idle = { storage: openMemoryStorage(), keyring: scratch, needsFence: false, onLeftover: () => undefined };
    await restoreBackup({ backup, keyring, target: await openIdleVault(idle, backup), signal });
    // As an engine does that starts from the copy: its head is read and checked anew.
    const copy = await openIdleVault(idle, backup);
    for (const [name, { version }] of entries) {
      // What was written since is in no backup yet.
      if (sealed.head.entry(name)?.version !== version) continue;
      const object = owner.describe(name);
      const [restored, own] = [
        await copy.store.read(object, digestOf, signal),
        await sealed.store.read(object, digestOf, signal),
      ];
      if (timingSafeEqual(restored, own)) continue;
      throw backupFault('damaged', `${name} is restored as something else than it is`);
    }
    return { objects: entries.length, bytes };
  } finally {
    scratch.close();
    backup.key.dispose();
  }
}

async function digestOf(content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const hash = createHash('sha256');
  for await (const piece of content) hash.update(piece);
  return hash.digest();
}

/** Data keys that are kept here alone, and wiped at the end: what they seal opens nowhere else. */
function ephemeralKeyring(random: RandomSource = systemRandom): DataKeyring {
  const keys = new Map<string, Uint8Array<ArrayBuffer>>();
  const name = 'drill';
  return {
    name,
    generate: async () => {
      const [dataKey, blob] = [random(DATA_KEY_BYTES), random(DATA_KEY_BYTES)];
      keys.set(toHex(blob), dataKey.slice());
      return { dataKey, wrapped: { keyId: name, blob } };
    },
    unwrap: async ({ blob }) => {
      const found = keys.get(toHex(blob));
      if (found !== undefined) return found.slice();
      throw new KmsError('STATE_INVALID', 'the wrapped key was not made in this drill');
    },
    close: () => {
      for (const key of keys.values()) key.fill(0);
      keys.clear();
    },
  };
}
