/** Short byte strings side by side: each is a copy of its own, and none reaches into another. */
import fc from 'fast-check';
import t from 'tap';
import { ByteBlocks } from '../../../enclave/threshold/byte-blocks.ts';

t.test('what is kept stays as it was, whatever is kept after it and whatever becomes of the bytes given', (t) => {
  const strings = fc.array(
    fc.oneof(fc.uint8Array({ maxLength: 600 }), fc.uint8Array({ minLength: 4000, maxLength: 9000 })),
    {
      maxLength: 200,
    },
  );
  fc.assert(
    fc.property(strings, (given) => {
      const blocks = new ByteBlocks();
      const kept = given.map((bytes) => blocks.keep(bytes));
      const before = given.map((bytes) => Buffer.from(bytes).toString('hex'));
      for (const bytes of given) bytes.fill(0);
      return kept.every((bytes, i) => Buffer.from(bytes).toString('hex') === before[i]);
    }),
  );
  t.pass('1 property');
  t.end();
});

t.test('short strings share a block, and no block holds more than the short strings of a few hundred requests', (t) => {
  const blocks = new ByteBlocks();
  const buffers = new Map<ArrayBufferLike, number>();
  for (let i = 0; i < 1000; i++) {
    const { buffer } = blocks.keep(new Uint8Array(300));
    buffers.set(buffer, (buffers.get(buffer) ?? 0) + 1);
  }
  t.ok(buffers.size <= 5, `${buffers.size} blocks for 300 KB`);
  for (const buffer of buffers.keys()) t.ok(buffer.byteLength <= 64 * 1024);
  const long = blocks.keep(new Uint8Array(5000));
  t.equal(long.buffer.byteLength, 5000, 'a long one has a buffer of its own');
  t.end();
});
