/**
 * A server that does a few things to its vault and says what it has done, for a test that kills it somewhere on the way.
 *
 * argv: `files ROOT STEP` kills itself before its write number STEP to the disk; `s3 OPTIONS` is killed from outside.
 */
import { writeSync } from 'node:fs';
import { toHex } from '../../common/bytes.ts';
import { openFileStorage } from '../../storage/file-storage.ts';
import { openS3Storage } from '../../storage/s3/s3-storage.ts';
import type { Storage } from '../../storage/storage.ts';
import { mortalDisk } from '../helpers/mortal-disk.ts';
import { KEYS } from '../helpers/s3.ts';
import { openVault } from '../unit/vault/sealed-scene.ts';
import { CHANGED, FIRST, OBJECT, OTHER, SECOND } from './vault-crash-objects.ts';

const [kind = '', where = '', step = '0'] = process.argv.slice(2);

async function openStorage(): Promise<Storage> {
  if (kind === 'files') {
    return await openFileStorage({ root: where, prefix: 'PRIV', folderMode: 0o700 }, { fs: mortalDisk(Number(step)) });
  }
  return await openS3Storage({ ...JSON.parse(where), credentials: async () => KEYS }, {});
}

const done = (text: string): void => void writeSync(1, `${text}\n`);

const storage = await openStorage();
const { vault, key, sealed, close } = await openVault({ teardown: () => {} }, { storage, needsFence: false });
done(toHex(key?.address ?? new Uint8Array(0)));
await vault.put(OBJECT, FIRST);
done('put');
await vault.put(OBJECT, SECOND, { replace: true });
done('replaced');
await vault.put(OTHER, CHANGED);
done('put another');
await vault.delete(OBJECT);
done('deleted');
await sealed?.store.reseal({
  ...sealed.owner,
  name: OTHER.join('/'),
  type: OTHER[0],
  keyId: OTHER[2],
  contextId: undefined,
  epochId: OTHER[1],
  parameters: undefined,
});
done('sealed anew');
await close();
done('closed');
// What a storage keeps open would keep the process.
process.exit(0);
