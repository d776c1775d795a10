/** `arca backup` and `arca restore` as operators run them, against a node with a real backup. */

import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { createRegistry } from '../../../common/metrics.ts';
import { backupStatus } from '../../../enclave/backup/backup-calls.ts';
import { registerBackupMetrics } from '../../../parent/core/metrics/backup-metrics.ts';
import { BackupStateSchema, EngineStatusSchema } from '../../../proto/gen/engine_pb.js';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { runArca } from '../../helpers/cli-script.ts';
import { contentOf, fileOf, keyName, vaultIn } from './backup-scene.ts';
import { FOLDER, lostCalls, openedIn, runningBackup, serveCalls } from './served-backup.ts';

const json = (text: string): unknown => JSON.parse(text);

t.test('status, list, verify and drill say what there is, and fail where something is wrong', async (t) => {
  const storage = openMemoryStorage();
  const { backup, calls } = await runningBackup(t, openedIn(storage));
  await backup.settled();
  const { dir } = await serveCalls(t, calls);
  const status = await runArca(['backup', 'status', '--dir', dir]);
  t.equal(status.code, 0, status.stderr);
  t.match(status.stdout, /keychain {5}second\n/);
  t.match(status.stdout, /behind {7}nothing\n/);
  t.match(status.stdout, /drill {8}never/);
  const drill = await runArca(['backup', 'drill', '--dir', dir, '--json']);
  t.match(json(drill.stdout), { passed: true, objects: 4 });
  await backup.settled();
  const list = await runArca(['backup', 'list', '--dir', dir, '--json']);
  t.match(json(list.stdout), { folders: [FOLDER] });
  t.equal((await runArca(['backup', 'verify', '--dir', dir])).code, 0);

  await storage.delete(await fileOf(storage, `${FOLDER}/${keyName(1)}`));
  await storage.put([FOLDER, 'Planted', 'x'], new Uint8Array(9));
  const wrong = await runArca(['backup', 'verify', '--dir', dir]);
  t.equal(wrong.code, 1);
  t.match(wrong.stdout, new RegExp(`FAULTY {4}${keyName(1)}: missing`));
  t.match(wrong.stderr, /somebody who is not this node/);
  const failed = await runArca(['backup', 'drill', '--dir', dir]);
  t.equal(failed.code, 1);
  t.match(failed.stdout, /FAILED at .*STATE_INVALID/);
});

t.test('a backup that does not follow is said to be behind, and a limit makes it a failure', async (t) => {
  const denied = new KmsError('PERMISSION_DENIED', 'AWS KMS denied GenerateDataKey: PCR0 differs');
  const key = { folder: FOLDER, keychain: 'aws-kms', keyring: async () => Promise.reject(denied) };
  const { backup, calls, clock } = await runningBackup(t, openedIn(openMemoryStorage(), { key }));
  await t.rejects(backup.settled());
  clock.set(701_000);
  const { dir } = await serveCalls(t, {
    ...calls,
    [ENGINE_METHOD.backupState]: () => toBinaryState(backup),
  });
  const late = await runArca(['backup', 'status', '--dir', dir, '--max-behind-secs', '600', '--json']);
  t.equal(late.code, 1);
  t.match(json(late.stdout), {
    behind: 4,
    behindSecs: 700,
    failure: { code: 'PERMISSION_DENIED', message: /PCR0 differs/ },
  });
  t.match(late.stderr, /does not follow/);
  t.equal((await runArca(['backup', 'status', '--dir', dir, '--max-behind-secs', '800'])).code, 0);
  t.equal((await runArca(['backup', 'status', '--dir', dir, '--max-behind-secs', 'x'])).code, 2);
});

t.test('a restore shows its plan, asks, and then restores a lost vault', async (t) => {
  const opened = openedIn();
  const { backup, filled } = await runningBackup(t, opened);
  await backup.settled();
  const { calls, storage } = lostCalls(opened);
  const { dir } = await serveCalls(t, calls);
  const { sequence = 0, digest = new Uint8Array() } = filled.head.point ?? {};
  const head = `${sequence}:${toHex(digest)}`;

  const plan = await runArca(['restore', '--plan', '--dir', dir, '--head', head]);
  t.equal(plan.code, 0, plan.stderr);
  t.match(plan.stdout, /private vault GONE/);
  t.match(plan.stdout, /4 of 4 objects are written; nothing is overwritten or removed/);
  t.notMatch(plan.stderr, /nothing says whether this is the newest state/);
  t.same(await storage.list([]), []);

  const newer = `${sequence + 1}:${toHex(digest)}`;
  const refused = await runArca(['restore', '--yes', '--dir', dir, '--head', newer]);
  t.equal(refused.code, 1);
  t.match(refused.stderr, /is remembered/);
  const unasked = await runArca(['restore', '--dir', dir]);
  t.equal(unasked.code, 1);
  t.match(unasked.stderr, /give --yes/);
  t.match(unasked.stderr, /nothing says whether this is the newest state/);
  t.same(await storage.list([]), [], 'nothing was written');
  for (const args of [
    ['--head', '1:ab'],
    ['--plan', '--yes'],
  ]) {
    t.equal((await runArca(['restore', '--dir', dir, ...args])).code, 2);
  }

  const done = await runArca(['restore', '--yes', '--dir', dir, '--head', head, '--json']);
  t.equal(done.code, 0, done.stderr);
  t.match(json(done.stdout), { restored: 4, lost: true });
  const restored = await vaultIn(storage);
  t.same(await contentOf(restored, keyName(1)), await contentOf(filled, keyName(1)));
  const again = await runArca(['restore', '--dir', dir]);
  t.match(again.stdout, /nothing is missing/);
  t.equal(again.code, 0);
});

function toBinaryState(backup: Awaited<ReturnType<typeof runningBackup>>['backup']): Uint8Array {
  return toBinary(BackupStateSchema, create(BackupStateSchema, { status: backupStatus(backup) }));
}

t.test('metrics tell lag, failures, and age and result of the last drill; none while the engine is away', async (t) => {
  const { backup, clock } = await runningBackup(t);
  await backup.settled();
  let looks = 0;
  const wall = { nowMs: () => 100_000, monotonicMs: () => ++looks * 1000 };
  const engine: Parameters<typeof registerBackupMetrics>[1]['engine'] & { state: 'connected' | 'disconnected' } = {
    state: 'connected',
    call: async () => toBinary(EngineStatusSchema, create(EngineStatusSchema, { backup: backupStatus(backup) })),
  };
  const registry = createRegistry();
  registerBackupMetrics(registry, { engine, clock: wall });
  const lines = async () => (await registry.metrics()).split('\n').filter((line) => !line.startsWith('#'));
  const before = await lines();
  t.ok(before.includes('kms_backup_behind_objects 0'));
  t.ok(before.includes('kms_backup_errors_total{operation="private_vault",error="backup_error"} 0'));
  t.notOk(before.some((line) => line.startsWith('kms_backup_drill')));
  clock.set(40_000);
  await backup.drill();
  const after = await lines();
  t.ok(after.includes('kms_backup_drill_age_seconds 60'), after.join('\n'));
  t.ok(after.includes('kms_backup_drill_passed 1'));
  engine.state = 'disconnected';
  t.same(
    (await lines()).filter((line) => line.startsWith('kms_backup')),
    [],
  );
});
