/**
 * Writes an enclave image. The same parts give the same bytes, at any time and on any machine. Spec:
 * docs/formats/enclave-image.md.
 */
import { crc32 } from 'node:zlib';
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import {
  type Architecture,
  HEADER_AT,
  HEADER_BYTES,
  IMAGE_VERSION,
  MAGIC,
  MAX_SECTIONS,
  SECTION_HEADER_BYTES,
  SECTION_TYPES,
  type SectionKind,
} from './format.ts';

/** What an image is made of. */
export interface ImageParts {
  readonly architecture: Architecture;
  readonly defaultMemoryBytes: number;
  readonly defaultCpus: number;
  /** In this order. */
  readonly sections: readonly { readonly kind: SectionKind; readonly data: Uint8Array }[];
}

/**
 * See the file comment.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for more sections than an image holds.
 */
export function writeImage(parts: ImageParts): Uint8Array {
  const { sections } = parts;
  if (sections.length > MAX_SECTIONS) {
    throw new KmsError('REQUEST_INVALID', `an enclave image has at most ${MAX_SECTIONS} sections`);
  }
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  header.set(MAGIC);
  view.setUint16(HEADER_AT.version, IMAGE_VERSION);
  view.setUint16(HEADER_AT.flags, parts.architecture === 'aarch64' ? 1 : 0);
  view.setBigUint64(HEADER_AT.defaultMemory, BigInt(parts.defaultMemoryBytes));
  view.setBigUint64(HEADER_AT.defaultCpus, BigInt(parts.defaultCpus));
  view.setUint16(HEADER_AT.sectionCount, sections.length);
  const body: Uint8Array[] = [];
  let offset = HEADER_BYTES;
  for (const [index, { kind, data }] of sections.entries()) {
    view.setBigUint64(HEADER_AT.offsets + 8 * index, BigInt(offset));
    view.setBigUint64(HEADER_AT.sizes + 8 * index, BigInt(data.length));
    const head = new DataView(new ArrayBuffer(SECTION_HEADER_BYTES));
    head.setUint16(0, SECTION_TYPES[kind]);
    head.setBigUint64(4, BigInt(data.length));
    body.push(new Uint8Array(head.buffer), data);
    offset += SECTION_HEADER_BYTES + data.length;
  }
  view.setUint32(
    HEADER_AT.crc,
    body.reduce((crc, part) => crc32(part, crc), crc32(header.subarray(0, HEADER_AT.crc))),
  );
  return concatBytes(header, ...body);
}
