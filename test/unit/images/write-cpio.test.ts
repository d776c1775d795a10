/** RAM disks as they are written: the same bytes from any order, read back as they were, and nothing outside of them. */
import fc from 'fast-check';
import t from 'tap';
import { type CpioEntry, readCpio } from '../../../images/cpio/read-cpio.ts';
import { FOLDER, REGULAR_FILE, writeCpio } from '../../../images/cpio/write-cpio.ts';
import { makeRamdisk } from './make-ramdisk.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const file = (path: string, content = ''): CpioEntry => ({ path, mode: REGULAR_FILE | 0o644, data: bytes(content) });
const folder = (path: string): CpioEntry => ({ path, mode: FOLDER | 0o755, data: new Uint8Array() });
const plain = (entries: readonly CpioEntry[]) =>
  entries.map(({ path, mode, data }) => [path, mode, Buffer.from(data).toString('hex')]);

t.test('the bytes are those of the format', async (t) => {
  const written = writeCpio([file('b', 'two'), file('a', 'one!!')]);
  const expected = makeRamdisk([
    { path: 'a', content: 'one!!' },
    { path: 'b', content: 'two' },
  ]);
  const lower = (ramdisk: Uint8Array): string => Buffer.from(ramdisk).toString('latin1').toLowerCase();
  t.equal(lower(written), lower(expected));
  t.equal(written.length % 512, 0, 'the next RAM disk begins where the kernel looks for it');
});

t.test('any files come back, sorted, and their order does not matter', async (t) => {
  const name = fc.stringMatching(/^[a-z0-9._-]{1,12}$/).filter((text) => text !== '.' && text !== '..');
  const entries = fc
    .uniqueArray(fc.record({ name, data: fc.uint8Array({ maxLength: 600 }), mode: fc.constantFrom(0o644, 0o755) }), {
      selector: (entry) => entry.name,
      maxLength: 12,
    })
    .map((list) => [
      folder('in'),
      ...list.map((entry) => ({ path: `in/${entry.name}`, mode: REGULAR_FILE | entry.mode, data: entry.data })),
    ]);
  fc.assert(
    fc.property(entries, fc.infiniteStream(fc.nat()), (all, order) => {
      const shuffled = all
        .map((entry) => [order.next().value, entry] as const)
        .sort(([a], [b]) => a - b)
        .map(([, entry]) => entry);
      const written = writeCpio(all);
      t.ok(Buffer.from(written).equals(writeCpio(shuffled)), 'the same bytes');
      t.same(plain(readCpio(written)), plain([...all].sort((a, b) => (a.path < b.path ? -1 : 1))));
    }),
    { numRuns: 50 },
  );
});

t.test('what would lie outside, twice, or in no folder is refused, all at once', async (t) => {
  for (const path of ['', '/etc/x', '../x', 'a/../b', '.', 'a//b', 'a/', 'TRAILER!!!', 'nul\0']) {
    t.throws(() => writeCpio([file(path)]), { code: 'REQUEST_INVALID' }, JSON.stringify(path));
  }
  t.throws(() => writeCpio([file('a'), file('a'), file('missing/b'), file('../c')]), {
    code: 'REQUEST_INVALID',
    message: /\.\.\/c is no path.*a is there twice.*missing\/b lies in a folder that is not there/,
  });
  t.throws(() => writeCpio([file('a'), file('a/b')]), { message: /a\/b lies in a folder/ }, 'a file is no folder');
});
