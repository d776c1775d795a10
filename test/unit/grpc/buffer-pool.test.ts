/** Buffers that are used again: never by two at once, never too many of them. */
import fc from 'fast-check';
import t from 'tap';
import { openBufferPool } from '../../../parent/grpc/buffer-pool.ts';
import { MessageCollector, openByteBudget } from '../../../parent/grpc/framing.ts';

t.test('never hands one buffer to two', async (t) => {
  const step = fc.record({ give: fc.boolean(), index: fc.nat(30), size: fc.integer({ min: 1, max: 300_000 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const pool = openBufferPool();
      const held: Uint8Array[] = [];
      for (const { give, index, size } of steps) {
        if (give) {
          const [buffer] = held.splice(index, 1);
          if (buffer) pool.give(buffer);
        } else {
          const buffer = pool.take(size);
          if (buffer.byteLength < size || held.includes(buffer)) return false;
          held.push(buffer);
        }
      }
      return true;
    }),
  );
  t.pass();
});

t.test('uses a buffer again, and keeps no odd sizes', async (t) => {
  const pool = openBufferPool();
  const first = pool.take(99_000);
  pool.give(first);
  t.equal(pool.take(120_000), first);
  const odd = pool.take(1_000_000);
  pool.give(odd);
  t.not(pool.take(1_000_000), odd);
  for (let count = 0; count < 1000; count++) pool.give(Buffer.allocUnsafeSlow(128 * 1024));
  const kept = new Set(Array.from({ length: 1000 }, () => pool.take(1)));
  t.equal(kept.size, 1000, 'all different');
});

t.test('a chunk that held a whole message is not taken for a buffer of the pool', async (t) => {
  const pool = openBufferPool();
  const collector = new MessageCollector(1_000_000, openByteBudget(1_000_000), pool);
  const chunk = Buffer.alloc(5 + 128 * 1024);
  chunk.writeUInt32BE(128 * 1024, 1);
  collector.push(chunk);
  const { bytes } = collector.finish();
  t.equal(bytes.buffer, chunk.buffer, 'no copy');
  collector.recycle();
  t.not(pool.take(128 * 1024).buffer, chunk.buffer);
});

t.test('a buffer comes back once, however often it is given up', async (t) => {
  const pool = openBufferPool();
  const collector = new MessageCollector(1_000_000, openByteBudget(1_000_000), pool);
  const message = Buffer.alloc(5 + 99_000, 3);
  message[0] = 0;
  message.writeUInt32BE(99_000, 1);
  collector.push(message.subarray(0, 50_000));
  collector.push(message.subarray(50_000));
  t.ok(message.subarray(5).equals(collector.finish().bytes));
  collector.recycle();
  collector.recycle();
  t.not(pool.take(1), pool.take(1));
});
