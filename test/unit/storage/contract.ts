/**
 * What every storage back end must do, as tests to be run against each.
 */
import fc from 'fast-check';
import type { Test } from 'tap';
import { concatBytes, equalBytes } from '../../../common/bytes.ts';
import type { ObjectPath, Storage } from '../../../storage/storage.ts';

export const PATH: ObjectPath = ['PublicKey', 'aa'];

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export async function* chunks(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

export async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return concatBytes(...parts);
}

/** Runs the contract against the storages that `open` makes, each empty. */
export function contractTests(t: Test, open: (t: Test) => Promise<Storage>): void {
  t.test('an object is read back as it was written, from bytes or from a stream', async (t) => {
    const storage = await open(t);
    t.equal(await storage.put(PATH, bytes('hello')), 'stored');
    t.equal(await storage.put(['CRS', 'bb'], chunks(bytes('he'), bytes(''), bytes('llo'))), 'stored');
    for (const path of [PATH, ['CRS', 'bb']]) {
      t.same(await storage.get(path), bytes('hello'));
      t.equal(await storage.size(path), 5);
      t.ok(await storage.has(path));
    }
    t.equal(await storage.put(['CRS', 'empty'], chunks()), 'stored');
    t.equal(await storage.size(['CRS', 'empty']), 0, 'an empty object is an object');
  });

  t.test('what is read lies alone in its buffer and may be wiped without harm', async (t) => {
    const storage = await open(t);
    const source = bytes('hello');
    await storage.put(PATH, source);
    source.fill(0);
    const first = await storage.get(PATH);
    t.equal(first.buffer.byteLength, first.byteLength);
    first.fill(0);
    t.same(await storage.get(PATH), bytes('hello'));
  });

  t.test('equal content is already there, however it is cut', async (t) => {
    const storage = await open(t);
    await storage.put(PATH, bytes('hello'));
    t.equal(await storage.put(PATH, bytes('hello')), 'already');
    t.equal(await storage.put(PATH, chunks(bytes('h'), bytes(''), bytes('ell'), bytes('o'))), 'already');
  });

  t.test('other content is never overwritten', async (t) => {
    const storage = await open(t);
    await storage.put(PATH, bytes('hello'));
    for (const other of ['hellO', 'hell', 'hello!', '']) {
      await t.rejects(storage.put(PATH, bytes(other)), { code: 'ALREADY_EXISTS' }, `bytes ${other}`);
      await t.rejects(storage.put(PATH, chunks(bytes(other))), { code: 'ALREADY_EXISTS' }, `stream ${other}`);
    }
    t.same(await storage.get(PATH), bytes('hello'));
  });

  t.test('an object is replaced when that is asked for', async (t) => {
    const storage = await open(t);
    await storage.put(PATH, bytes('hello'));
    t.equal(await storage.put(PATH, bytes('bye'), { replace: true }), 'stored');
    t.same(await storage.get(PATH), bytes('bye'));
    t.equal(await storage.put(['CRS', 'new'], bytes('x'), { replace: true }), 'stored', 'or made, if there is none');
  });

  t.test('of many writers of one name exactly one wins, and nobody loses silently', async (t) => {
    const storage = await open(t);
    const writes = Array.from({ length: 8 }, (_, i) =>
      storage.put(PATH, bytes(`writer ${i % 2}`)).catch((e: unknown) => e),
    );
    const results = await Promise.all(writes);
    const content = new TextDecoder().decode(await storage.get(PATH));
    t.equal(results.filter((result) => result === 'stored').length, 1);
    for (const [i, result] of results.entries()) {
      if (`writer ${i % 2}` === content) t.match(result, /^(stored|already)$/, `writer ${i}`);
      else t.match(result, { code: 'ALREADY_EXISTS' }, `writer ${i}`);
    }
  });

  t.test('an object that is larger than it may be is not read', async (t) => {
    const storage = await open(t);
    await storage.put(PATH, bytes('four'));
    t.same(await storage.get(PATH, 4), bytes('four'));
    t.same((await storage.getTagged(PATH, 4)).content, bytes('four'));
    const larger = { code: 'RESOURCE_EXHAUSTED', facts: { sizeBytes: 4, maxBytes: 3 } };
    await t.rejects(storage.get(PATH, 3), larger);
    await t.rejects(storage.getTagged(PATH, 3), larger);
  });

  t.test('a head moves only from the state that its writer saw', async (t) => {
    const storage = await open(t);
    await t.rejects(storage.swap(PATH, bytes('x'), 'no such state'), { code: 'ABORTED' }, 'nothing is there yet');
    t.equal(await storage.has(PATH), false);
    const first = await storage.swap(PATH, bytes('one'), undefined);
    await t.rejects(storage.swap(PATH, bytes('uno'), undefined), { code: 'ABORTED' }, 'it is there by now');
    const read = await storage.getTagged(PATH);
    t.same(read, { content: bytes('one'), tag: first }, 'a reader sees the tag that the writer was given');
    t.equal(read.content.buffer.byteLength, 3, 'in a buffer of its own');
    const second = await storage.swap(PATH, bytes('two'), first);
    t.not(second, first);
    await t.rejects(storage.swap(PATH, bytes('three'), first), { code: 'ABORTED' }, 'an old state is no state');
    t.same(await storage.get(PATH), bytes('two'));
    await storage.put(PATH, bytes('by force'), { replace: true });
    await t.rejects(storage.swap(PATH, bytes('three'), second), { code: 'ABORTED' }, 'a plain write counts too');
    await storage.delete(PATH);
    await t.rejects(storage.swap(PATH, bytes('three'), second), { code: 'ABORTED' }, 'and so does a deletion');
    await t.rejects(storage.getTagged(PATH), { code: 'NOT_FOUND' });
    const signal = AbortSignal.abort();
    await t.rejects(storage.swap(PATH, bytes('x'), undefined, { signal }), { code: 'CANCELLED' });
    t.equal(await storage.has(PATH), false);
  });

  t.test('of many that move a head at once exactly one succeeds, every time', async (t) => {
    const storage = await open(t);
    let tag: string | undefined;
    for (let round = 0; round < 3; round++) {
      const expected = tag;
      const results = await Promise.all(
        Array.from({ length: 6 }, (_, i) =>
          storage.swap(PATH, bytes(`round ${round} writer ${i}`), expected).then(
            (tag) => ({ writer: i, tag }),
            (error: unknown) => error,
          ),
        ),
      );
      const winners = results.filter((result) => !(result instanceof Error)) as { writer: number; tag: string }[];
      t.equal(winners.length, 1, `round ${round}`);
      for (const error of results.filter((result) => result instanceof Error)) t.match(error, { code: 'ABORTED' });
      tag = winners[0]?.tag;
      const now = await storage.getTagged(PATH);
      t.same(now, { content: bytes(`round ${round} writer ${winners[0]?.writer}`), tag });
    }
  });

  t.test('an object that is not there is told apart from every failure', async (t) => {
    const storage = await open(t);
    await t.rejects(storage.get(PATH), { code: 'NOT_FOUND' });
    await t.rejects(storage.open(PATH), { code: 'NOT_FOUND' });
    t.equal(await storage.has(PATH), false);
    t.equal(await storage.size(PATH), undefined);
    t.same(await storage.list(['PublicKey']), []);
    t.equal(await storage.delete(PATH), false);
  });

  t.test('a deleted object is gone and its name is free', async (t) => {
    const storage = await open(t);
    await storage.put(PATH, bytes('hello'));
    t.equal(await storage.delete(PATH), true);
    t.equal(await storage.has(PATH), false);
    t.same(await storage.list([]), [], 'an empty folder is not listed');
    t.equal(await storage.put(PATH, bytes('other')), 'stored');
  });

  t.test('names are listed one folder at a time, sorted', async (t) => {
    const storage = await open(t);
    for (const path of [
      ['B', 'e2', 'y'],
      ['B', 'e1', 'x'],
      ['B', 'z'],
      ['A', 'q'],
    ])
      await storage.put(path, bytes('1'));
    t.same(await storage.list([]), ['A', 'B']);
    t.same(await storage.list(['B']), ['e1', 'e2', 'z']);
    t.same(await storage.list(['B', 'e1']), ['x']);
    t.same(await storage.list(['C']), []);
    t.same(await storage.list(['B', 'e1', 'x']), [], 'nothing lies below an object');
  });

  t.test('any range within the object is read, any other refused', async (t) => {
    const storage = await open(t);
    const content = Uint8Array.from({ length: 700_000 }, (_, i) => i * 7);
    await storage.put(PATH, content);
    const bound = fc.nat({ max: content.byteLength });
    await fc.assert(
      fc.asyncProperty(bound, bound, async (a, b) => {
        const [offset, end] = [Math.min(a, b), Math.max(a, b)];
        const part = await storage.open(PATH, { offset, length: end - offset });
        const rest = await storage.open(PATH, { offset });
        return (
          part.sizeBytes === content.byteLength &&
          equalBytes(await readAll(part.stream), content.subarray(offset, end)) &&
          equalBytes(await readAll(rest.stream), content.subarray(offset))
        );
      }),
      { numRuns: 30 },
    );
    const bad = [
      { offset: -1 },
      { offset: 700_001 },
      { offset: 0, length: 700_001 },
      { offset: 1, length: -1 },
      { offset: 0.5 },
      { offset: Number.NaN },
      { offset: 0, length: Number.POSITIVE_INFINITY },
    ];
    for (const range of bad)
      await t.rejects(storage.open(PATH, range), { code: 'REQUEST_INVALID' }, JSON.stringify(range));
  });

  t.test('names that climb, hide or break out are refused by every operation', async (t) => {
    const storage = await open(t);
    const bad = [
      '',
      '.',
      '..',
      '../x',
      'a/b',
      '/etc/passwd',
      '\\',
      'a\0',
      '.hidden',
      '-x',
      'a b',
      'ä',
      'a\n',
      'x'.repeat(129),
      '%2e%2e',
    ];
    for (const segment of bad) {
      for (const path of [[segment], ['PublicKey', segment], [segment, 'aa']]) {
        const why = JSON.stringify(path).slice(0, 60);
        await t.rejects(storage.put(path, bytes('x')), { code: 'REQUEST_INVALID' }, `put ${why}`);
        await t.rejects(storage.swap(path, bytes('x'), undefined), { code: 'REQUEST_INVALID' }, `swap ${why}`);
        await t.rejects(storage.get(path), { code: 'REQUEST_INVALID' }, `get ${why}`);
        await t.rejects(storage.open(path), { code: 'REQUEST_INVALID' }, `open ${why}`);
        await t.rejects(storage.has(path), { code: 'REQUEST_INVALID' }, `has ${why}`);
        await t.rejects(storage.list(path), { code: 'REQUEST_INVALID' }, `list ${why}`);
        await t.rejects(storage.delete(path), { code: 'REQUEST_INVALID' }, `delete ${why}`);
      }
    }
    for (const path of [[], Array.from({ length: 9 }, () => 'a')]) {
      await t.rejects(storage.get(path), { code: 'REQUEST_INVALID' }, `${path.length} segments`);
    }
    t.same(await storage.list([]), []);
  });

  t.test('a name is an object or a folder, never both', async (t) => {
    const storage = await open(t);
    await storage.put(['A', 'x'], bytes('1'));
    await t.rejects(storage.put(['A'], bytes('1')), { code: 'STATE_INVALID' });
    await t.rejects(storage.put(['A', 'x', 'y'], bytes('1')), { code: 'STATE_INVALID' });
    await t.rejects(storage.swap(['A'], bytes('1'), undefined), { code: 'STATE_INVALID' });
    await t.rejects(storage.swap(['A', 'x', 'y'], bytes('1'), undefined), { code: 'STATE_INVALID' });
    t.same(await storage.get(['A', 'x']), bytes('1'));
  });

  t.test('a source that fails leaves nothing behind, and its own failure is told', async (t) => {
    const storage = await open(t);
    const broken = async function* () {
      yield bytes('half');
      throw new RangeError('source broke');
    };
    await t.rejects(storage.put(PATH, broken()), { message: 'source broke' });
    t.equal(await storage.has(PATH), false);
    t.equal(await storage.put(PATH, bytes('whole')), 'stored');
    await t.rejects(storage.put(PATH, broken(), { replace: true }), { message: 'source broke' });
    t.same(await storage.get(PATH), bytes('whole'), 'and replaces nothing');
  });

  t.test('a write is cancelled at once, even while its source is silent', { timeout: 10_000 }, async (t) => {
    const storage = await open(t);
    const controller = new AbortController();
    const silent = async function* () {
      yield bytes('half');
      controller.abort();
      await new Promise(() => undefined);
    };
    await t.rejects(storage.put(PATH, silent(), { signal: controller.signal }), { code: 'CANCELLED' });
    await t.rejects(storage.put(PATH, bytes('x'), { signal: AbortSignal.abort() }), { code: 'CANCELLED' });
    t.equal(await storage.has(PATH), false);
    t.equal(await storage.put(PATH, bytes('whole'), { signal: new AbortController().signal }), 'stored');
  });
}
