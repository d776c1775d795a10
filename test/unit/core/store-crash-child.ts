/**
 * A process that store-crash.test.ts kills: it begins, acknowledges and settles requests without end, and writes a
 * line for each promise that it has made. Argument: the store's file.
 */
import { writeSync } from 'node:fs';
import { RequestStore } from '../../../parent/core/store/request-store.ts';
import { idOf } from './requests.ts';

const store = new RequestStore({ file: process.argv[2] ?? '', decCapacity: 1_000_000, minDecCache: 1_000_000 });
const body = Buffer.alloc(3000, 7);

async function work(lane: number): Promise<void> {
  for (let count = 0; ; count++) {
    const name = `${process.pid}/${lane}/${count}`;
    const kind = count % 5 === 0 ? 'keygen' : 'public_decrypt';
    const entry = store.begin({ kind, id: idOf(name), digest: idOf(name), contextId: 'c', epochId: 'e' });
    if (count % 3 !== 0) {
      await store.acknowledge(entry, kind === 'keygen' ? undefined : body);
      writeSync(1, `acknowledged ${kind} ${entry.id}\n`);
    }
    if (count % 4 === 0) continue;
    await store.settle(entry, { state: 'done', response: Buffer.from(entry.id, 'hex') });
    writeSync(1, `done ${kind} ${entry.id}\n`);
  }
}

await Promise.all([0, 1, 2, 3].map(work));
