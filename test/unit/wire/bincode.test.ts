/** bincode: what is written reads back, and hostile input ends in one kind of error, without large allocations. */
import fc from 'fast-check';
import t from 'tap';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { BincodeReader, BincodeWriter } from '../../../wire/bincode.ts';
import { decodeSafe, encodeSafe } from '../../../wire/safe-serialize.ts';

t.test('integers, vectors and strings have the legacy fixed-width layout', async (t) => {
  const bytes = new BincodeWriter(1)
    .u8(1)
    .bool(true)
    .u32(0x01020304)
    .i32(-2)
    .u64(2 ** 40 + 5)
    .vec(Uint8Array.of(7, 8))
    .string('é')
    .raw(Uint8Array.of(9))
    .finish();
  t.equal(
    toHex(bytes),
    '0101' + '04030201' + 'feffffff' + '0500000000010000' + '0200000000000000' + '0708' + '0200000000000000c3a909',
  );
  t.throws(() => new BincodeWriter().u64(-1), RangeError);
  t.throws(() => new BincodeWriter().u64(2 ** 53), RangeError);
});

t.test('what the writer writes the reader reads', async (t) => {
  const shape = fc.record({
    u8: fc.nat(255),
    bool: fc.boolean(),
    u32: fc.nat(0xffffffff),
    i32: fc.integer(),
    u64: fc.nat(Number.MAX_SAFE_INTEGER),
    vec: fc.uint8Array({ maxLength: 700 }),
    text: fc.string({ unit: 'grapheme' }),
    list: fc.array(fc.nat(0xffffffff)),
  });
  fc.assert(
    fc.property(shape, (v) => {
      const writer = new BincodeWriter()
        .u8(v.u8)
        .bool(v.bool)
        .u32(v.u32)
        .i32(v.i32)
        .u64(v.u64)
        .vec(v.vec)
        .string(v.text);
      writer.u64(v.list.length);
      for (const item of v.list) writer.u32(item);
      const reader = new BincodeReader(writer.finish());
      const same =
        reader.u8() === v.u8 &&
        reader.bool() === v.bool &&
        reader.u32() === v.u32 &&
        reader.i32() === v.i32 &&
        reader.u64() === v.u64 &&
        equalBytes(reader.vec(), v.vec) &&
        reader.string() === v.text &&
        reader.list(4, () => reader.u32()).join() === v.list.join();
      reader.end();
      return same;
    }),
  );
  t.pass('1 property');
});

t.test('cut, oversized and malformed data end in REQUEST_INVALID', async (t) => {
  const huge = new BincodeWriter().u64(Number.MAX_SAFE_INTEGER).finish();
  const cases: [string, (reader: BincodeReader) => unknown, Uint8Array][] = [
    ['a cut u8', (r) => r.u8(), new Uint8Array(0)],
    ['a cut u32', (r) => r.u32(), new Uint8Array(3)],
    ['a cut u64', (r) => r.u64(), new Uint8Array(7)],
    ['a u64 beyond 2^53', (r) => r.u64(), new Uint8Array(8).fill(255)],
    ['a vector longer than its data', (r) => r.vec(), huge],
    ['a list longer than its data', (r) => r.list(1, () => r.u8()), huge],
    ['a list of empty elements', (r) => r.list(0, () => 0), huge],
    ['a boolean 2', (r) => r.bool(), Uint8Array.of(2)],
    ['an option tag 2', (r) => r.option(() => 0), Uint8Array.of(2)],
    ['a string that is not UTF-8', (r) => r.string(), new BincodeWriter().vec(Uint8Array.of(0xff)).finish()],
    ['a wrong version', (r) => r.expectU32(1, 'version'), new Uint8Array(4)],
    ['bytes after the end', (r) => r.end(), new Uint8Array(1)],
  ];
  for (const [why, read, bytes] of cases) {
    t.throws(() => read(new BincodeReader(bytes)), { code: 'REQUEST_INVALID' }, why);
  }
});

t.test('random bytes give a value or REQUEST_INVALID, never anything else', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        const reader = new BincodeReader(bytes);
        reader.option(() => reader.list(9, () => [reader.vec(), reader.bool()]));
        reader.string();
        reader.end();
        return true;
      } catch (error) {
        return error instanceof KmsError && error.code === 'REQUEST_INVALID';
      }
    }),
    { numRuns: 2000 },
  );
  t.pass('1 property');
});

t.test('a safe-serialized object is refused under another type, version, or with bytes after it', async (t) => {
  const body = Uint8Array.of(1, 2, 3);
  const good = encodeSafe('Thing', 11, (writer) => writer.vec(body));
  const read = (bytes: Uint8Array, name = 'Thing'): Uint8Array => decodeSafe(bytes, name, (reader) => reader.vec());
  t.same(Buffer.from(read(good)), Buffer.from(body));
  t.equal(good.byteLength, good.buffer.byteLength, 'an exact size owns its memory');
  t.throws(() => read(good, 'Other'), { code: 'REQUEST_INVALID' }, 'another type');
  t.throws(() => read(Buffer.concat([good, Uint8Array.of(0)])), { code: 'REQUEST_INVALID' }, 'a byte more');
  for (let length = 0; length < good.byteLength; length++) {
    t.throws(() => read(good.subarray(0, length)), { code: 'REQUEST_INVALID' }, `cut to ${length}`);
  }
  for (let at = 0; at < good.byteLength - body.byteLength; at++) {
    const flipped = Uint8Array.from(good);
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    t.throws(() => read(flipped), { code: 'REQUEST_INVALID' }, `bit of byte ${at} flipped`);
  }
});
