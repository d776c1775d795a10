/** A backup storage that is away at the start: the engine goes on, and the backup is complete once it answers. */
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { openLate } from '../../../enclave/backup/late-storage.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { FOLDER, openedIn, runningBackup } from './served-backup.ts';

/** A storage that answers from the given attempt on. */
function opensAt(attempt: number, code: 'UNAVAILABLE' | 'PERMISSION_DENIED' = 'UNAVAILABLE') {
  const inner = { ...openMemoryStorage(), fenced: true };
  const seen = { attempts: 0, closed: 0, inner };
  const open = async () => {
    seen.attempts += 1;
    if (seen.attempts < attempt) throw new KmsError(code, 'no answer');
    const close = (): void => {
      seen.closed += 1;
    };
    return { storage: inner, close };
  };
  return { seen, open };
}

t.test('one that answers is open at once, and is opened once', async (t) => {
  const { seen, open } = opensAt(1);
  const late = await openLate(open, () => t.fail('it is there'));
  t.equal(late.storage.fenced, true);
  await late.storage.put(['a', 'b'], Uint8Array.of(1));
  t.same(await late.storage.get(['a', 'b']), Uint8Array.of(1));
  await late.ready();
  late.close();
  t.same([seen.attempts, seen.closed], [1, 1]);
});

t.test('one that is away is told, refuses until it answers, and is then as any other', async (t) => {
  const { seen, open } = opensAt(4);
  const told: unknown[] = [];
  const late = await openLate(open, (error) => told.push(error));
  t.match(told, [{ code: 'UNAVAILABLE' }]);
  t.equal(late.storage.fenced, false);
  await t.rejects(late.storage.has(['a']), { code: 'UNAVAILABLE' });
  await t.rejects(late.ready(), { code: 'UNAVAILABLE' });
  await Promise.all([late.ready(), late.storage.list([])]);
  t.equal(late.storage.fenced, true);
  t.equal(seen.attempts, 4, 'and nobody opens it twice');
  late.close();
  t.equal(seen.closed, 1);
});

t.test('what is wrong for good ends the start', async (t) => {
  const { open } = opensAt(2, 'PERMISSION_DENIED');
  await t.rejects(
    openLate(open, () => t.fail('this is no absence')),
    { code: 'PERMISSION_DENIED' },
  );
});

t.test('a backup whose storage is away is behind, says why, and completes later', async (t) => {
  const { seen, open } = opensAt(4);
  const late = await openLate(open, () => undefined);
  const { storage, ready } = late;
  const { backup } = await runningBackup(t, openedIn(storage, { ready, needsFence: true, close: () => late.close() }));
  await t.rejects(backup.settled(), { code: 'UNAVAILABLE' });
  t.match(backup.status(), { behind: 4, failure: { code: 'UNAVAILABLE' } });
  while (backup.status().behind > 0) await backup.settled().catch(() => undefined);
  t.same(await seen.inner.list([]), [FOLDER]);
  t.equal(backup.status().failure, undefined);
});
