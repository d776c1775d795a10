/**
 * Which of several servers of one party serves: the manifest's head decides, and the lease beside it says who and since when.
 */
import t from 'tap';
import { encodeCanonical } from '../../../attestation/cbor.ts';
import { KmsError } from '../../../common/errors.ts';
import type { Storage } from '../../../storage/storage.ts';
import { present } from '../../helpers/present.ts';
import { addressOf, bytes, copyOf, fencedMemory, openVault, read, SHARES, setClock } from './sealed-scene.ts';

t.test('ten replacements that start together: one serves, the others say who does and since when', async (t) => {
  const storage = fencedMemory();
  const clock = setClock();
  const first = await openVault(t, { storage, clock });
  const address = addressOf(first);
  await first.close();
  const starts = await Promise.allSettled(
    Array.from({ length: 10 }, (_, i) => openVault(t, { storage, address, clock, instance: `i-${i + 10}` })),
  );
  const serving = starts.filter((start) => start.status === 'fulfilled');
  t.equal(serving.length, 1);
  for (const start of starts) {
    if (start.status === 'fulfilled') t.equal(await start.value.incarnation(), 2);
    else {
      const message = /^party 1 is served by i-1\d-enc[0-9a-f]{8} since 20\d\d-.*: this engine does not serve/;
      t.match(start.reason, { code: 'ABORTED', message });
    }
  }
});

t.test('ten first starts that come together make one node and not two', async (t) => {
  for (const withLease of [true, false]) {
    const storage = withLease ? fencedMemory() : withoutLease(fencedMemory());
    const starts = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => openVault(t, { storage, instance: `i-${i + 10}` })),
    );
    const serving = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    t.equal(serving.length, 1, withLease ? 'with the lease' : 'with the manifest alone');
    const next = await openVault(t, { storage: await copyOf(storage), instance: 'i-10', clock: setClock(2e12) });
    t.same(addressOf(next), addressOf(present(serving[0])), 'the node that served');
    const message = withLease ? /is served by i-1\d-enc/ : /another server of party 1 has taken over/;
    for (const start of starts) if (start.status === 'rejected') t.match(start.reason, { code: 'ABORTED', message });
  }
});

t.test('who was replaced is told once, and writes nothing more', async (t) => {
  const storage = fencedMemory();
  const lost: KmsError[] = [];
  const first = await openVault(t, { storage, onLost: (why) => void lost.push(why) });
  await first.vault.put(SHARES, bytes(1));
  // A start of the same instance need not wait for the lease.
  const second = await openVault(t, { storage });
  for (const value of [2, 3]) {
    await t.rejects(first.vault.put(SHARES, bytes(value), { replace: true }), { code: 'ABORTED' });
  }
  t.match(lost, [{ code: 'ABORTED', message: /another server of this party has taken over/ }], 'once');
  t.same(await read(second, SHARES), [1]);
  const idle: KmsError[] = [];
  const third = await openVault(t, { storage, onLost: (why) => void idle.push(why) });
  await openVault(t, { storage });
  await t.rejects(present(third.sealed).head.check(), { code: 'ABORTED' });
  t.equal(idle.length, 1, 'also one that only looked');
});

t.test('a replacement waits for a holder that has died, and not for one that lives', async (t) => {
  const storage = fencedMemory();
  const clock = setClock();
  await openVault(t, { storage, clock, instance: 'i-1' });
  const slept: number[] = [];
  const sleep = async (ms: number): Promise<void> => {
    slept.push(ms);
    clock.forward(ms);
  };
  const second = await openVault(t, { storage, clock, instance: 'i-2', sleep });
  t.equal(await second.incarnation(), 2);
  t.same(slept, [15_001], 'as long as the lease holds');
});

t.test('a lease that nobody can have written keeps nobody out', async (t) => {
  const clock = setClock();
  const note = (fields: object) => encodeCanonical(['arca-lease', new Map(Object.entries(fields))]);
  const good = { holder: 'i-9-enc1', since: clock.nowMs(), token: new Uint8Array(16), until: clock.nowMs() + 10_000 };
  const junk = [
    bytes(1, 2, 3),
    new Uint8Array(600),
    note({ ...good, until: clock.nowMs() + 86_400_000 }),
    note({ ...good, until: 'soon' }),
    note({ ...good, holder: 'i-9 <b>' }),
    note({ ...good, since: -1 }),
    encodeCanonical(['arca-lease', 1]),
  ];
  for (const content of junk) {
    const storage = fencedMemory();
    await storage.put(['Manifest', 'lease'], content);
    await t.resolves(openVault(t, { storage, clock }), `junk ${junk.indexOf(content)}`);
  }
  const storage = fencedMemory();
  await storage.put(['Manifest', 'lease'], note(good));
  await t.rejects(
    openVault(t, { storage, clock }),
    { code: 'ABORTED', message: /served by i-9-enc1 since/ },
    'a good one does',
  );
});

/** Takes every lease and remembers none: what keeps servers apart is the manifest alone. */
function withoutLease(storage: Storage): Storage {
  const isLease = (path: readonly string[]): boolean => path[1] === 'lease';
  return {
    ...storage,
    swap: async (path, ...rest) => (isLease(path) ? 'tag' : await storage.swap(path, ...rest)),
    getTagged: async (path) => {
      if (isLease(path)) throw new KmsError('NOT_FOUND', 'no such object');
      return await storage.getTagged(path);
    },
  };
}
