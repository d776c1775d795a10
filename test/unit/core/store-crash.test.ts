/** The request store under SIGKILL: every promise that was made before it holds after it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { RequestStore } from '../../../parent/core/store/request-store.ts';
import { storeFile } from './test-core.ts';

const CHILD = fileURLToPath(new URL('./store-crash-child.ts', import.meta.url));
const KILLS = 8;

t.test('keeps every acknowledged request and every outcome when its process is killed', async (t) => {
  const file = storeFile(t);
  const promised: string[] = [];
  for (let round = 0; round < KILLS; round++) {
    const child = spawn(process.execPath, [CHILD, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const killAfter = 20 + Math.floor(Math.random() * 150);
    let seen = 0;
    for await (const line of createInterface(child.stdout)) {
      promised.push(line);
      if (++seen === killAfter) child.kill('SIGKILL');
    }
    await exited;
  }

  const store = new RequestStore({ file, decCapacity: 1_000_000, minDecCache: 1_000_000 });
  t.teardown(() => store.close());
  const broken: string[] = [];
  for (const line of promised) {
    const [promise, kind, id = ''] = line.split(' ');
    const entry = store.find(kind === 'keygen' ? 'keygen' : 'public_decrypt', id);
    const outcome = entry && store.outcome(entry);
    const kept =
      promise === 'done'
        ? outcome?.state === 'done' && Buffer.from(id, 'hex').equals(outcome.response)
        : entry?.state === 'done' || (entry?.state === 'running' && (kind === 'keygen' || store.body(entry)));
    if (!kept) broken.push(line);
  }
  t.same(broken, []);
  t.ok(promised.length >= KILLS * 20, `${promised.length} promises in ${KILLS} lives`);
});
