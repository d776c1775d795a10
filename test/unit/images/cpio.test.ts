/** Files of a RAM disk: archives one after the other, plain or packed; hostile ones are refused. */
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { isKmsError } from '../../../common/errors.ts';
import { readCpio } from '../../../images/cpio/read-cpio.ts';
import { makeRamdisk } from './make-ramdisk.ts';

const FILES = [
  { path: 'init', mode: 0o100755, content: '#!' },
  { path: 'app', mode: 0o040755, content: '' },
  { path: 'app/engine.js', content: 'run();' },
];
const read = (ramdisk: Uint8Array) =>
  readCpio(ramdisk).map(({ path, mode, data }) => ({ path, mode, content: Buffer.from(data).toString() }));

t.test('an archive is read, plain, packed, and after another one', async (t) => {
  const ramdisk = makeRamdisk(FILES);
  const expected = FILES.map(({ path, mode = 0o100644, content }) => ({ path, mode, content }));
  t.same(read(ramdisk), expected);
  t.same(read(new Uint8Array(gzipSync(ramdisk))), expected);
  t.same(read(Buffer.concat([ramdisk, makeRamdisk([{ path: 'etc/x', content: 'y' }])])), [
    ...expected,
    { path: 'etc/x', mode: 0o100644, content: 'y' },
  ]);
  t.same(read(new Uint8Array(512)), [], 'padding alone holds nothing');
});

t.test('what is cut, or says what is not there, is refused', async (t) => {
  const ramdisk = makeRamdisk(FILES);
  const text = Buffer.from(ramdisk).toString('latin1');
  const with_ = (from: string, to: string) => new Uint8Array(Buffer.from(text.replace(from, to), 'latin1'));
  const cases: readonly [string, Uint8Array, RegExp][] = [
    ['another form', with_('070701', '070707'), /no entry begins at byte 0/],
    ['cut', ramdisk.subarray(0, 60), /no entry begins/],
    ['a giant file', with_('00000002', 'ffffffff'), /is cut/],
    ['no number', with_('000081ed', '000081ex'), /no number/],
    ['no gzip', Uint8Array.of(0x1f, 0x8b, 1, 2, 3), /gzip/],
  ];
  for (const [name, bytes, message] of cases)
    t.throws(() => readCpio(bytes), { code: 'REQUEST_INVALID', message }, name);
  fc.assert(
    fc.property(fc.nat(ramdisk.length - 1), fc.nat(255), fc.nat(ramdisk.length), (at, value, cut) => {
      try {
        return readCpio(Uint8Array.from(ramdisk).with(at, value).subarray(0, cut)).length <= FILES.length + 1;
      } catch (error) {
        return isKmsError(error, 'REQUEST_INVALID');
      }
    }),
    { numRuns: 1000 },
  );
});
