/** A copy of a backup whose node goes on writing: what the head that was copied names is in the copy. */
import t from 'tap';
import { copyBackup, type ReadOnly } from '../../../enclave/drill/copy-backup.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';

const FOLDER = 'aws-kms-00';
const HEAD = [FOLDER, 'Manifest', 'head'];
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const at = (...path: string[]): string[] => [FOLDER, ...path];

/** A backup of two objects. */
async function backup(): Promise<Storage> {
  const storage = openMemoryStorage();
  await storage.put(HEAD, bytes('head 1'));
  await storage.put(at('SigningKey', 'aa', 'place'), bytes('key'));
  await storage.put(at('FheKeyInfo', 'bb', 'cc', 'place'), bytes('share'));
  await storage.put(['aws-kms-11', 'Manifest', 'head'], bytes("another key's"));
  return storage;
}

/** Calls back before each listing of the folder itself, which begins a walk. */
function onWalk(storage: Storage, then: (walk: number) => Promise<void>): ReadOnly {
  let walks = 0;
  return {
    get: (path, maxBytes) => storage.get(path, maxBytes),
    open: (path) => storage.open(path),
    list: async (path) => {
      const names = await storage.list(path);
      if (path.length === 1) await then(++walks);
      return names;
    },
  };
}

async function textIn(storage: Storage, path: readonly string[]): Promise<string> {
  return new TextDecoder().decode(await storage.get(path));
}

t.test('copies everything below its folder, and nothing else', async (t) => {
  const [source, copy] = [await backup(), openMemoryStorage()];
  await copyBackup(source, FOLDER, copy);
  t.equal(await textIn(copy, HEAD), 'head 1');
  t.equal(await textIn(copy, at('FheKeyInfo', 'bb', 'cc', 'place')), 'share');
  t.same(await copy.list([]), [FOLDER]);
});

t.test('what is written and removed meanwhile makes it look again', async (t) => {
  const [source, copy] = [await backup(), openMemoryStorage()];
  const busy = onWalk(source, async (walk) => {
    if (walk > 1) return;
    await source.put(at('FheKeyInfo', 'bb', 'cc', 'next'), bytes('newer share'));
    await source.put(HEAD, bytes('head 2'), { replace: true });
    await source.delete(at('FheKeyInfo', 'bb', 'cc', 'place'));
    await source.delete(at('SigningKey', 'aa', 'place'));
    await source.put(at('SigningKey', 'aa', 'other'), bytes('key again'));
  });
  await copyBackup(busy, FOLDER, copy);
  t.equal(await textIn(copy, HEAD), 'head 2');
  t.equal(await textIn(copy, at('FheKeyInfo', 'bb', 'cc', 'next')), 'newer share');
  t.equal(await textIn(copy, at('SigningKey', 'aa', 'other')), 'key again');
});

t.test('one that never stands still is given up, without a head that could be taken for whole', async (t) => {
  const [source, copy] = [await backup(), openMemoryStorage()];
  const busy = onWalk(source, (walk) =>
    source.put(HEAD, bytes(`head ${walk + 1}`), { replace: true }).then(() => undefined),
  );
  await t.rejects(copyBackup(busy, FOLDER, copy), { code: 'ABORTED', message: /all the time/ });
  t.notOk(await copy.has(HEAD));
});

t.test('says that there is none, and tells failures of the storage as they are', async (t) => {
  await t.rejects(copyBackup(openMemoryStorage(), FOLDER, openMemoryStorage()), {
    code: 'NOT_FOUND',
    message: /no backup under this key/,
  });
  const source = await backup();
  const broken = {
    ...onWalk(source, async () => undefined),
    open: () => Promise.reject(new Error('the disk is gone')),
  };
  await t.rejects(copyBackup(broken, FOLDER, openMemoryStorage()), { message: 'the disk is gone' });
});
