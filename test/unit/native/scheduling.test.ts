/** The kernel's view of a process that asked for batch scheduling, in processes of their own. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);
const LIBRARY = new URL('../../../native/engine/public.ts', import.meta.url).href;
const [SCHED_OTHER, SCHED_BATCH, SCHED_IDLE] = [0, 3, 5];

/** Policies of a process's threads: before, after, and with the pool's threads that came later. */
const PROGRAM = `
  import { readdirSync, readFileSync } from 'node:fs';
  import { pbkdf2 } from 'node:crypto';
  import { promisify } from 'node:util';
  import { useBatchScheduling } from ${JSON.stringify(LIBRARY)};
  const policies = () => readdirSync('/proc/self/task').map((id) => {
    const text = readFileSync('/proc/self/task/' + id + '/stat', 'utf8');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[38]);
  });
  const before = policies();
  const changed = useBatchScheduling();
  const after = policies();
  await Promise.all([0, 1, 2, 3].map(() => promisify(pbkdf2)('a', 'b', 1000, 32, 'sha256')));
  process.stdout.write(JSON.stringify({ before, changed, after, later: policies(), again: useBatchScheduling() }));
`;

interface Seen {
  readonly before: readonly number[];
  readonly changed: number;
  readonly after: readonly number[];
  readonly later: readonly number[];
  readonly again: number;
}

async function seen(...prefix: readonly string[]): Promise<Seen> {
  const [file = '', ...args] = [...prefix, process.execPath, '--input-type=module', '--eval', PROGRAM];
  const { stdout } = await run(file, args);
  return JSON.parse(stdout);
}

t.test('every thread of the process is under it, those that come later too', async (t) => {
  const { before, changed, after, later, again } = await seen();
  t.ok(before.every((policy) => policy === SCHED_OTHER));
  t.equal(changed, before.length);
  t.ok(after.every((policy) => policy === SCHED_BATCH));
  t.ok(later.length > after.length, 'the pool came');
  t.ok(later.every((policy) => policy === SCHED_BATCH));
  t.equal(again, later.length, 'asking again changes nothing');
});

t.test('another policy that somebody gave the process stays', async (t) => {
  const { before, changed, later } = await seen('chrt', '--idle', '0');
  t.ok(before.every((policy) => policy === SCHED_IDLE));
  t.equal(changed, 0);
  t.ok(later.every((policy) => policy === SCHED_IDLE));
});
