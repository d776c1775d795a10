/**
 * The enclave image file, version 4: a header, then sections one after the other. Public, and hostile when it is read:
 * nothing of it is believed before its size was compared with the file. Spec: docs/formats/enclave-image.md.
 */

/** What a section is; the number stands in its header. */
export const SECTION_TYPES = { kernel: 1, cmdline: 2, ramdisk: 3, signature: 4, metadata: 5 } as const;
/** A word out of {@link SECTION_TYPES}. */
export type SectionKind = keyof typeof SECTION_TYPES;

/** One section; its data is a view into the file. */
export interface ImageSection {
  readonly kind: SectionKind;
  /** Where its header begins in the file. */
  readonly offset: number;
  readonly data: Uint8Array;
}

/** Processor that an image is for. */
export type Architecture = 'x86_64' | 'aarch64';

/** An image that was read: well formed, its checksum right. That says nothing about who made it. */
export interface EnclaveImage {
  readonly version: number;
  readonly architecture: Architecture;
  /** What its maker suggests; nobody has to give it. */
  readonly defaultMemoryBytes: number;
  readonly defaultCpus: number;
  /** In the order of the file: one kernel, one command line, one or more RAM disks. */
  readonly sections: readonly ImageSection[];
}

/** `.eif`. */
export const MAGIC = Uint8Array.of(0x2e, 0x65, 0x69, 0x66);
/** Size of the header. */
export const HEADER_BYTES = 548;
/** Size of what stands before the data of a section: u16 type, u16 flags, u64 size; big endian, as all numbers here. */
export const SECTION_HEADER_BYTES = 12;
/** Most sections. */
export const MAX_SECTIONS = 32;
/** The version that is written. */
export const IMAGE_VERSION = 4;
/** Versions that are read: 3 has no metadata. */
export const READ_VERSIONS: readonly number[] = [3, IMAGE_VERSION];

/** Where the fields of the header begin. */
export const HEADER_AT = {
  version: 4,
  flags: 6,
  defaultMemory: 8,
  defaultCpus: 16,
  reserved: 24,
  sectionCount: 26,
  offsets: 28,
  sizes: 284,
  unused: 540,
  crc: 544,
} as const;

/** Returns the first section of a kind. */
export function sectionOf(image: EnclaveImage, kind: SectionKind): Uint8Array | undefined {
  return image.sections.find((section) => section.kind === kind)?.data;
}

/** Returns the RAM disks in their order. */
export function ramdisksOf(image: EnclaveImage): readonly Uint8Array[] {
  return image.sections.filter(({ kind }) => kind === 'ramdisk').map(({ data }) => data);
}
