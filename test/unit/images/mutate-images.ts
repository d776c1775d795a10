/** Images with changed bytes, some with a checksum that is right again. */
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { isKmsError } from '../../../common/errors.ts';
import { HEADER_AT, HEADER_BYTES, SECTION_HEADER_BYTES } from '../../../images/eif/format.ts';
import { readImage } from '../../../images/eif/read-image.ts';

/** Corrects the checksum of an image in place. */
export function summed(file: Uint8Array): Uint8Array {
  const crc = crc32(file.subarray(HEADER_BYTES), crc32(file.subarray(0, HEADER_AT.crc)));
  new DataView(file.buffer, file.byteOffset).setUint32(HEADER_AT.crc, crc);
  return file;
}

/** Reads so many mutations of a good image: each is refused, or its sections are all of it. */
export function mutateImages(good: Uint8Array, numRuns: number): void {
  const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 6 }),
      fc.option(fc.nat(good.length)),
      fc.boolean(),
      (changes, cut, isSummed) => {
        const file = Uint8Array.from(good.subarray(0, cut ?? good.length));
        for (const [at, value] of changes) if (at < file.length) file[at] = value;
        try {
          const { sections } = readImage(isSummed && file.length >= HEADER_BYTES ? summed(file) : file);
          const held = sections.reduce((sum, { data }) => sum + SECTION_HEADER_BYTES + data.length, HEADER_BYTES);
          return held === file.length;
        } catch (error) {
          return isKmsError(error, 'REQUEST_INVALID');
        }
      },
    ),
    { numRuns },
  );
}
