/** What is written to the engine: one large piece at a time, small ones together, all of it in order. */
import { Writable } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import { LinkWriter } from '../../../parent/core/engine-client/link-writer.ts';

const RECORD_BYTES = 16 * 1024;

/** A stream that keeps what it is handed, and is done with each piece when told so, or at once. */
function kept(isManual = false) {
  const pieces: Uint8Array[] = [];
  const waiting: (() => void)[] = [];
  const stream = new Writable({
    write(piece: Uint8Array, _encoding, done) {
      pieces.push(piece);
      if (isManual) waiting.push(done);
      else setImmediate(done);
    },
    writev() {
      throw new Error('pieces were handed over together');
    },
  });
  return { stream, pieces, waiting };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('every byte leaves once and in order, and nothing large is copied', async (t) => {
  const sizes = fc.array(fc.constantFrom(0, 1, 15, 700, RECORD_BYTES - 1, RECORD_BYTES, RECORD_BYTES + 1, 99_000), {
    maxLength: 20,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(sizes, { maxLength: 4 }), async (turns) => {
      const { stream, pieces } = kept();
      const writer = new LinkWriter(stream);
      const given: Uint8Array[] = [];
      for (const parts of turns) {
        const made = parts.map((size) => new Uint8Array(size).fill(given.length + size));
        given.push(...made);
        writer.write(made);
        await turn();
      }
      while (writer.queuedBytes > 0) await turn();
      const large = given.filter(({ byteLength }) => byteLength > RECORD_BYTES);
      return (
        Buffer.concat(pieces).equals(Buffer.concat(given)) &&
        large.every((part) => pieces.some(({ buffer }) => buffer === part.buffer))
      );
    }),
  );
  t.pass();
});

t.test('a piece waits for the one before, and small ones that wait leave together', async (t) => {
  const { stream, pieces, waiting } = kept(true);
  const writer = new LinkWriter(stream);
  const [large, small] = [Buffer.alloc(99_000, 1), Buffer.alloc(20, 2)];
  writer.write([large]);
  await turn();
  for (const part of [small, small, large]) writer.write([part]);
  await turn();
  t.equal(pieces.length, 1);
  t.equal(writer.queuedBytes, 2 * 99_000 + 40);
  waiting.shift()?.();
  await turn();
  t.same(pieces[1], Buffer.alloc(40, 2));
  waiting.shift()?.();
  await turn();
  t.equal(pieces[2]?.buffer, large.buffer);
  waiting.shift()?.();
  await turn();
  t.equal(writer.queuedBytes, 0);
});

t.test('nothing is written to a stream that has failed', async (t) => {
  const { stream, pieces } = kept(true);
  stream.on('error', () => undefined);
  const writer = new LinkWriter(stream);
  writer.write([Buffer.alloc(99_000)]);
  await turn();
  stream.destroy(new Error('gone'));
  await turn();
  writer.write([Buffer.alloc(10)]);
  await turn();
  t.equal(pieces.length, 1);
});
