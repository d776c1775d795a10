/** Enclave images: written, read and measured, against values computed otherwise; hostile ones are refused by name. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { type EnclaveImage, HEADER_AT, HEADER_BYTES, ramdisksOf, sectionOf } from '../../../images/eif/format.ts';
import { measureImage } from '../../../images/eif/measure-image.ts';
import { readImage } from '../../../images/eif/read-image.ts';
import { writeImage } from '../../../images/eif/write-image.ts';
import { mutateImages, summed } from './mutate-images.ts';
import { bytes, SAMPLE_PARTS as PARTS } from './sample-image.ts';

const GOOD = writeImage(PARTS);

/** A register of zeros extended with the digest of a text, step by step. */
function extended(content: string): string {
  const digest = createHash('sha384').update(content, 'latin1').digest();
  return createHash('sha384').update(Buffer.alloc(48)).update(digest).digest('hex');
}

/** Changes bytes of a good image and corrects its checksum. */
function changed(at: number, ...values: number[]): Uint8Array {
  const file = Uint8Array.from(GOOD);
  file.set(values, at);
  return summed(file);
}

t.test('an image is read as it was written', async (t) => {
  const image = readImage(GOOD);
  t.equal(image.version, 4);
  t.equal(image.architecture, 'x86_64');
  t.equal(image.defaultMemoryBytes, 1_073_741_824);
  t.equal(image.defaultCpus, 2);
  t.same(
    image.sections.map(({ kind, data }) => [kind, toHex(data)]),
    PARTS.sections.map(({ kind, data }) => [kind, toHex(data)]),
  );
  t.equal(toHex(GOOD.subarray(0, 6)), '2e6569660004', 'the magic and the version');
  t.equal(readImage(writeImage({ ...PARTS, architecture: 'aarch64' })).architecture, 'aarch64');
  t.same(writeImage(PARTS), GOOD, 'the same bytes again');
});

t.test('any parts come back', async (t) => {
  const part = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(part, part, fc.array(part, { minLength: 1, maxLength: 5 }), (kernel, cmdline, disks) => {
      const ramdisks = disks.map((data) => ({ kind: 'ramdisk', data }) as const);
      const sections = [{ kind: 'kernel', data: kernel } as const, { kind: 'cmdline', data: cmdline } as const];
      const image = readImage(writeImage({ ...PARTS, sections: [...sections, ...ramdisks] }));
      return (
        toHex(sectionOf(image, 'kernel') ?? bytes('')) === toHex(kernel) &&
        ramdisksOf(image).map(toHex).join() === disks.map(toHex).join()
      );
    }),
  );
  t.pass('1 property');
});

t.test('registers are those of the rules, and the border of kernel and command line is not in them', async (t) => {
  const measured = (image: EnclaveImage) => [...measureImage(image)].map(([index, value]) => [index, toHex(value)]);
  t.same(measured(readImage(GOOD)), [
    [0, extended('a kernelreboot=k panic=30the first diskthe second disk')],
    [1, extended('a kernelreboot=k panic=30the first disk')],
    [2, extended('the second disk')],
  ]);
  const one = readImage(writeImage({ ...PARTS, sections: PARTS.sections.slice(0, 4) }));
  const [, , second] = measured(one);
  t.match(second?.[1], /^21b9efbc1848/, 'the known value of an image with one RAM disk');
  t.equal(toHex(measureImage(one, bytes('DER')).get(8) ?? bytes('')), extended('DER'));
  const [kernel, cmdline, ...rest] = PARTS.sections;
  if (!kernel || !cmdline) throw new Error('no sections');
  const moved = [{ ...kernel, data: bytes('a kernelreboot=k') }, { ...cmdline, data: bytes(' panic=30') }, ...rest];
  t.same(measured(readImage(writeImage({ ...PARTS, sections: moved }))), measured(readImage(GOOD)));
});

t.test('an image that is not whole is refused with what is wrong', async (t) => {
  const cases: readonly [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(), /header alone/],
    ['cut in the header', GOOD.subarray(0, 200), /header alone/],
    ['cut in a section', GOOD.subarray(0, GOOD.length - 1), /section 4 of 15 bytes is cut/],
    ['longer', summed(Uint8Array.of(...GOOD, 0)), /1 bytes follow the last section/],
    ['another magic', changed(0, 0x7f), /does not begin with ".eif"/],
    ['an old version', changed(HEADER_AT.version + 1, 2), /version 2/],
    ['unknown flags', changed(HEADER_AT.flags + 1, 2), /flags 2/],
    ['too many sections', changed(HEADER_AT.sectionCount, 0xff, 0xff), /65535 sections, at most 32/],
    ['no section', changed(HEADER_AT.sectionCount, 0, 0), /no RAM disk/],
    ['a section elsewhere', changed(HEADER_AT.offsets + 7, 0), /section 0 begins at byte/],
    ['a giant section', changed(HEADER_AT.sizes, 0x7f), /is cut: the file ends/],
    ['two sizes', changed(HEADER_BYTES + 11, 9), /says two different sizes/],
    ['an unknown type', changed(HEADER_BYTES + 1, 9), /unknown type 9/],
    ['two kernels', changed(sectionAt('cmdline') + 1, 1), /2 sections of type kernel/],
    ['section flags', changed(HEADER_BYTES + 3, 1), /section 0 has flags 1/],
    ['an unused slot in use', changed(HEADER_AT.sizes + 8 * 20, 1), /slot 20/],
    ['a flipped bit', Uint8Array.from(GOOD).with(GOOD.length - 1, 0), /checksum/],
    ['a signature in front', signatureFirst(), /not the last section/],
  ];
  for (const [name, file, message] of cases)
    t.throws(() => readImage(file), { code: 'REQUEST_INVALID', message }, name);
});

t.test('a mutated image is refused, or is one whose every byte is accounted for', async (t) => {
  const before = process.memoryUsage().rss;
  mutateImages(GOOD, 2000);
  t.ok(process.memoryUsage().rss - before < 512 * 1024 * 1024, 'and no size out of it was allocated');
});

function sectionAt(kind: string): number {
  return readImage(GOOD).sections.find((section) => section.kind === kind)?.offset ?? 0;
}

function signatureFirst(): Uint8Array {
  return writeImage({ ...PARTS, sections: [{ kind: 'signature', data: bytes('x') }, ...PARTS.sections] });
}
