/** A folder whose vaults lie in emulated AWS is started so, and no other is: an empty vault would be taken for a new node. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runDev } from '../../../../parent/cli/actions/dev.ts';
import { newAwsFile, readAwsFile, writeAwsFile } from '../../../../parent/cli/supervise/aws/aws-file.ts';
import { takeStateFolder } from '../../../../parent/cli/supervise/take-state-folder.ts';
import { QUIET } from '../../../helpers/quiet-output.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

async function take(t: Test, dir: string, aws: boolean | undefined, reset = false): Promise<void> {
  const lock = await takeStateFolder(dir, { reset, parties: 1, aws }, QUIET);
  t.teardown(() => lock.release());
  lock.release();
}

t.test('a folder of clear files is not started with --aws', async (t) => {
  const dir = join(tempDir(t), 'state');
  await take(t, dir, false);
  await take(t, dir, true);
  writeFileSync(join(dir, 'core.sqlite'), '');
  await t.rejects(take(t, dir, true), { code: 'STATE_INVALID', message: /has its vaults in files/ });
  await take(t, dir, undefined);
  await take(t, dir, false);
});

t.test('a folder with vaults in AWS is not started without, unless it is cleared', async (t) => {
  const dir = join(tempDir(t), 'state');
  await take(t, dir, true);
  await writeAwsFile(dir, newAwsFile([1]));
  writeFileSync(join(dir, 'core.sqlite'), '');
  await take(t, dir, true);
  await t.rejects(take(t, dir, false), {
    code: 'STATE_INVALID',
    message: /has its vaults in emulated AWS/,
    facts: { cure: /arca dev --aws/ },
  });
  await take(t, dir, undefined);
  await take(t, dir, false, true);
  t.equal(await readAwsFile(dir), undefined, 'nothing of it is left');
});

t.test('what seals backups is asked for with --aws alone', async (t) => {
  const options = { dir: tempDir(t), params: 'test', publicPort: 0, opsPort: 0, logLevel: 'info' } as const;
  await t.rejects(runDev({ ...options, backup: 'custodians' }, QUIET), { message: /vaults in files have no backup/ });
});
