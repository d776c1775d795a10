/** What a drill may be asked to do: a job that is none is refused, with the field at fault. */
import t from 'tap';
import { parseDrillJob } from '../../../enclave/drill/drill-job.ts';

const JOB = {
  config: '/node/node.toml',
  folder: '/node/drill/copy',
  backup: 'aws-kms-0011223344556677',
  head: { sequence: 7, digest: 'ab'.repeat(48) },
};

t.test('a job is read', async (t) => {
  const { head, ...job } = parseDrillJob(JSON.stringify(JOB));
  t.same(job, { config: JOB.config, folder: JOB.folder, backup: JOB.backup });
  t.same(head, { sequence: 7, digest: new Uint8Array(48).fill(0xab) });
});

t.test('anything else is refused, and names its field', async (t) => {
  for (const [why, change, named] of [
    ['no configuration', { config: '' }, 'config'],
    ['a folder out of another', { backup: '../aws-kms' }, 'backup'],
    ['no folder of the backup', { backup: '' }, 'backup'],
    ['a state below the first', { head: { ...JOB.head, sequence: 0 } }, 'head.sequence'],
    ['a digest that is cut', { head: { ...JOB.head, digest: 'ab' } }, 'head.digest'],
    ['a field that is not known', { keychain: 'clear' }, 'job'],
  ] as const) {
    const job = JSON.stringify({ ...JOB, ...change });
    t.throws(() => parseDrillJob(job), { code: 'REQUEST_INVALID', message: `not a drill: ${named}` }, why);
  }
  for (const text of ['', '[]', '{', 'null']) t.throws(() => parseDrillJob(text), { code: 'REQUEST_INVALID' }, text);
});
