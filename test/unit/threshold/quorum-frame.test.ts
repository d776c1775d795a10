/** Frames of the quorum: round trips, and what is no frame. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import {
  decodeFrame,
  encodeEntry,
  encodeFrame,
  MAX_QUORUM_FRAME_BYTES,
  type QuorumEntry,
} from '../../../enclave/threshold/quorum-frame.ts';

const fixed = (sizeBytes: number) => fc.uint8Array({ minLength: sizeBytes, maxLength: sizeBytes });
const entry: fc.Arbitrary<QuorumEntry> = fc.oneof(
  fc
    .tuple(fc.constantFrom('public' as const, 'user' as const), fixed(32), fixed(32))
    .map(([kind, id, digest]) => ({ what: 'announce' as const, name: { kind, id, digest } })),
  fc
    .tuple(fixed(16), fc.uint8Array({ maxLength: 300 }))
    .map(([tag, shares]) => ({ what: 'shares' as const, tag, shares })),
  fc
    .tuple(fixed(32), fc.constantFrom('announcement' as const, 'shares' as const))
    .map(([digest, wanted]) => ({ what: 'want' as const, digest, wanted })),
);

function encode(entries: readonly QuorumEntry[]): Uint8Array {
  return encodeFrame(entries.map(encodeEntry));
}

t.test('what is written is read back', async (t) => {
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 6 }), (entries) => {
      const read = decodeFrame(Uint8Array.from(encode(entries)));
      return isDeepStrictEqual(read, entries);
    }),
  );
  t.pass('1 property');
});

t.test('sizes are as documented', async (t) => {
  const name = { kind: 'user' as const, id: new Uint8Array(32), digest: new Uint8Array(32) };
  t.equal(encode([{ what: 'announce', name }]).byteLength, 1 + 66);
  const shares = encode([{ what: 'shares', tag: new Uint8Array(16), shares: new Uint8Array(256) }]);
  t.equal(shares.byteLength, 1 + 21 + 256, 'an euint64 costs less than a tenth beside its shares');
  t.equal(encode([{ what: 'want', digest: name.digest, wanted: 'shares' }]).byteLength, 1 + 34);
});

t.test('a frame that is cut, extended or changed in a head is refused whole, and nothing else is thrown', async (t) => {
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 3 }), fc.nat(), (entries, seed) => {
      const whole = Uint8Array.from(encode(entries));
      const last = encodeEntry(entries[entries.length - 1] as QuorumEntry).byteLength;
      const cut = whole.subarray(0, whole.byteLength - 1 - (seed % (last - 1)));
      try {
        decodeFrame(cut);
        return false;
      } catch (error) {
        return (error as { code?: string }).code === 'REQUEST_INVALID';
      }
    }),
  );
  t.pass('1 property');
});

t.test('any bytes are a frame or refused', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        return decodeFrame(bytes).length > 0;
      } catch (error) {
        return (error as { code?: string }).code === 'REQUEST_INVALID';
      }
    }),
  );
  for (const [why, bytes] of [
    ['nothing', []],
    ['no entries', [1]],
    ['another version', [2, 3, 0]],
    ['an unknown entry', [1, 9]],
    ['an unknown kind of request', [1, 1, 3, ...new Uint8Array(64)]],
    ['an unknown wish', [1, 3, 2, ...new Uint8Array(32)]],
    ['shares longer than the frame', [1, 2, ...new Uint8Array(16), 255, 255, 255, 255]],
  ] as const) {
    t.throws(() => decodeFrame(Uint8Array.from(bytes)), { code: 'REQUEST_INVALID' }, why);
  }
  t.throws(() => decodeFrame(new Uint8Array(MAX_QUORUM_FRAME_BYTES + 1).fill(1)), { code: 'REQUEST_INVALID' });
});
