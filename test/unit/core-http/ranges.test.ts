/** Byte ranges: one part or the whole, never an error a client could trip over. */
import fc from 'fast-check';
import t from 'tap';
import { resolveRange } from '../../../parent/core/http/ranges.ts';

t.test('answers the forms of a single range', async (t) => {
  const cases = [
    ['bytes=0-3', { kind: 'part', start: 0, end: 4 }],
    ['bytes=4-', { kind: 'part', start: 4, end: 10 }],
    ['bytes=-4', { kind: 'part', start: 6, end: 10 }],
    ['bytes=-99', { kind: 'part', start: 0, end: 10 }],
    ['bytes=9-99', { kind: 'part', start: 9, end: 10 }],
    ['bytes=10-', { kind: 'unsatisfiable' }],
    ['bytes=-0', { kind: 'unsatisfiable' }],
  ] as const;
  for (const [header, answer] of cases) t.strictSame(resolveRange(header, 10), answer, header);
});

t.test('ignores what is not one well-formed byte range', async (t) => {
  for (const header of [
    'bytes=0-1,3-4',
    'bytes=5-2',
    'bytes=-',
    'items=0-1',
    'bytes=a-b',
    'bytes=0x0-1',
    '',
    undefined,
  ]) {
    t.strictSame(resolveRange(header, 10), { kind: 'whole' }, String(header));
  }
});

t.test('nothing is satisfiable in an empty object', async (t) => {
  t.strictSame(resolveRange('bytes=0-', 0), { kind: 'unsatisfiable' });
  t.strictSame(resolveRange('bytes=-5', 0), { kind: 'unsatisfiable' });
  t.strictSame(resolveRange(undefined, 0), { kind: 'whole' });
});

t.test('a part always lies within the object and is never empty', async (t) => {
  const header = fc.oneof(
    fc.string(),
    fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `bytes=${a}-${b}`),
    fc.nat().map((a) => `bytes=-${a}`),
    fc.nat().map((a) => `bytes=${a}-`),
  );
  fc.assert(
    fc.property(header, fc.nat(), (text, sizeBytes) => {
      const range = resolveRange(text, sizeBytes);
      return range.kind !== 'part' || (range.start >= 0 && range.start < range.end && range.end <= sizeBytes);
    }),
  );
  t.pass('1 property');
});
