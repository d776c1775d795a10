/**
 * A server that completes its backup, or restores a vault from one, and kills itself at one of its writes.
 *
 * argv: `backup|restore FROM TO STEP`, folders of file storages.
 */
import { openFileStorage } from '../../storage/file-storage.ts';
import { mortalDisk } from '../helpers/mortal-disk.ts';
import { completeBackup, restoreInto, vaultIn } from '../unit/backup/backup-scene.ts';

const [work = '', from = '', to = '', step = '0'] = process.argv.slice(2);
const options = { prefix: 'V', folderMode: 0o700 };

const source = await openFileStorage({ ...options, root: from });
const target = await openFileStorage({ ...options, root: to }, { fs: mortalDisk(Number(step)) });
if (work === 'backup') await completeBackup(await vaultIn(source), target);
else await restoreInto(target, source);
process.exit(0);
