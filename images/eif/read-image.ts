/**
 * Reads an enclave image, whoever made it, and says everything that is wrong with it. Allocates nothing that a field of
 * the file asks for: sections are views. Spec: docs/formats/enclave-image.md.
 */
import { crc32 } from 'node:zlib';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import {
  type EnclaveImage,
  HEADER_AT,
  HEADER_BYTES,
  type ImageSection,
  MAGIC,
  MAX_SECTIONS,
  READ_VERSIONS,
  SECTION_HEADER_BYTES,
  SECTION_TYPES,
  type SectionKind,
} from './format.ts';

const AARCH64_FLAG = 1;
const KINDS = new Map<number, SectionKind>(
  (Object.keys(SECTION_TYPES) as SectionKind[]).map((kind) => [SECTION_TYPES[kind], kind]),
);

/**
 * See the file comment.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults: cut, another version, sections that overlap, leave gaps or
 *   lie outside of the file, missing or repeated ones, a wrong checksum, bytes behind the last section.
 */
export function readImage(file: Uint8Array): EnclaveImage {
  if (file.length < HEADER_BYTES) throw invalid([`it has ${file.length} bytes, its header alone has ${HEADER_BYTES}`]);
  if (!equalBytes(file.subarray(0, MAGIC.length), MAGIC)) throw invalid(['it does not begin with ".eif"']);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const faults: string[] = [];
  const version = view.getUint16(HEADER_AT.version);
  if (!READ_VERSIONS.includes(version)) faults.push(`version ${version} is not known`);
  const flags = view.getUint16(HEADER_AT.flags);
  if (flags > AARCH64_FLAG) faults.push(`flags ${flags} are not known`);
  const sections = readSections(file, view, faults);
  if (sections !== undefined) {
    checkKinds(sections, faults);
    checkSum(file, view, faults);
  }
  if (sections === undefined || faults.length > 0) throw invalid(faults);
  return {
    version,
    architecture: flags === AARCH64_FLAG ? 'aarch64' : 'x86_64',
    defaultMemoryBytes: Number(view.getBigUint64(HEADER_AT.defaultMemory)),
    defaultCpus: Number(view.getBigUint64(HEADER_AT.defaultCpus)),
    sections,
  };
}

/** Reads the table of sections; undefined if it does not fit the file. */
function readSections(file: Uint8Array, view: DataView, faults: string[]): readonly ImageSection[] | undefined {
  const count = view.getUint16(HEADER_AT.sectionCount);
  if (count > MAX_SECTIONS) {
    faults.push(`it says to have ${count} sections, at most ${MAX_SECTIONS} fit`);
    return undefined;
  }
  const sections: ImageSection[] = [];
  let end = HEADER_BYTES;
  for (let index = 0; index < MAX_SECTIONS; index++) {
    const offset = view.getBigUint64(HEADER_AT.offsets + 8 * index);
    const sizeBytes = view.getBigUint64(HEADER_AT.sizes + 8 * index);
    if (index >= count) {
      if (offset !== 0n || sizeBytes !== 0n) faults.push(`slot ${index} of the table is not used and not empty`);
      continue;
    }
    if (offset !== BigInt(end)) {
      faults.push(`section ${index} begins at byte ${offset} and should at ${end}`);
      return undefined;
    }
    const dataAt = end + SECTION_HEADER_BYTES;
    if (BigInt(dataAt) + sizeBytes > BigInt(file.length)) {
      faults.push(`section ${index} of ${sizeBytes} bytes is cut: the file ends at byte ${file.length}`);
      return undefined;
    }
    const kind = KINDS.get(view.getUint16(end));
    if (kind === undefined) faults.push(`section ${index} is of unknown type ${view.getUint16(end)}`);
    if (view.getUint16(end + 2) !== 0) faults.push(`section ${index} has flags ${view.getUint16(end + 2)}`);
    if (view.getBigUint64(end + 4) !== sizeBytes) faults.push(`section ${index} says two different sizes`);
    const data = file.subarray(dataAt, dataAt + Number(sizeBytes));
    if (kind !== undefined) sections.push({ kind, offset: end, data });
    end = dataAt + Number(sizeBytes);
  }
  if (end !== file.length) faults.push(`${file.length - end} bytes follow the last section`);
  return sections;
}

function checkKinds(sections: readonly ImageSection[], faults: string[]): void {
  const count = (kind: SectionKind): number => sections.filter((section) => section.kind === kind).length;
  for (const kind of ['kernel', 'cmdline'] as const) {
    if (count(kind) !== 1) faults.push(`it has ${count(kind)} sections of type ${kind} and needs one`);
  }
  if (count('ramdisk') === 0) faults.push('it has no RAM disk');
  for (const kind of ['metadata', 'signature'] as const) {
    if (count(kind) > 1) faults.push(`it has ${count(kind)} sections of type ${kind}, at most one is allowed`);
  }
  const signatureAt = sections.findIndex(({ kind }) => kind === 'signature');
  if (signatureAt >= 0 && signatureAt !== sections.length - 1) faults.push('its signature is not the last section');
}

function checkSum(file: Uint8Array, view: DataView, faults: string[]): void {
  const computed = crc32(file.subarray(HEADER_BYTES), crc32(file.subarray(0, HEADER_AT.crc)));
  const stored = view.getUint32(HEADER_AT.crc);
  if (computed === stored) return;
  faults.push(`its checksum is ${hex(stored)} and should be ${hex(computed)}: it was changed or damaged`);
}

const hex = (crc: number): string => crc.toString(16).padStart(8, '0');

function invalid(faults: readonly string[]): KmsError {
  return new KmsError('REQUEST_INVALID', `no valid enclave image: ${faults.join('; ')}`);
}
