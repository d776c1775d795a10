/** Says in what two images differ, file by file, and which registers follow from it. */
import { createHash } from 'node:crypto';
import { equalBytes, toHex } from '../../common/bytes.ts';
import { isKmsError } from '../../common/errors.ts';
import { type CpioEntry, readCpio } from '../cpio/read-cpio.ts';
import { type EnclaveImage, ramdisksOf, type SectionKind, sectionOf } from './format.ts';
import { measureImage } from './measure-image.ts';

/** One difference between two images. */
export interface ImageDifference {
  /** `kernel`, `ramdisk 0`, or a file: `ramdisk 1: app/engine.js`. */
  readonly what: string;
  readonly how: 'only in the first' | 'only in the second' | 'other content' | 'other mode' | 'other order';
  /** SHA-256 and size of each side, where it has one. */
  readonly first?: string;
  readonly second?: string;
}

/** What {@link diffImages} finds. */
export interface ImageComparison {
  readonly differences: readonly ImageDifference[];
  /** Registers that differ. */
  readonly registers: readonly number[];
}

/** Sections that no register covers. */
const UNMEASURED: readonly SectionKind[] = ['metadata', 'signature'];

/** See the file comment. */
export function diffImages(first: EnclaveImage, second: EnclaveImage): ImageComparison {
  const differences: ImageDifference[] = [];
  for (const kind of ['kernel', 'cmdline', ...UNMEASURED] as const) {
    differences.push(...diffData(kind, sectionOf(first, kind), sectionOf(second, kind)));
  }
  const [ours, theirs] = [ramdisksOf(first), ramdisksOf(second)];
  for (let index = 0; index < Math.max(ours.length, theirs.length); index++) {
    differences.push(...diffRamdisk(`ramdisk ${index}`, ours[index], theirs[index]));
  }
  const [before, after] = [measureImage(first), measureImage(second)];
  const registers = [...before.keys()].filter((index) => {
    return !equalBytes(before.get(index) ?? new Uint8Array(), after.get(index) ?? new Uint8Array());
  });
  return { differences, registers };
}

function diffRamdisk(name: string, first: Uint8Array | undefined, second: Uint8Array | undefined): ImageDifference[] {
  if (first === undefined || second === undefined || equalBytes(first, second)) return diffData(name, first, second);
  const [ours, theirs] = [filesOf(first), filesOf(second)];
  // What is no archive is compared as a whole.
  if (ours === undefined || theirs === undefined) return diffData(name, first, second);
  const paths = [...new Set([...ours.keys(), ...theirs.keys()])].sort();
  const found = paths.flatMap((path) => diffFile(`${name}: ${path}`, ours.get(path), theirs.get(path)));
  if (found.length > 0) return found;
  // The same files, in other order, with other padding, or packed otherwise.
  return [{ what: name, how: 'other order', first: describe(first), second: describe(second) }];
}

function filesOf(ramdisk: Uint8Array): ReadonlyMap<string, CpioEntry> | undefined {
  try {
    return new Map(readCpio(ramdisk).map((entry) => [entry.path, entry]));
  } catch (error) {
    if (!isKmsError(error)) throw error;
    return undefined;
  }
}

function diffFile(what: string, first: CpioEntry | undefined, second: CpioEntry | undefined): ImageDifference[] {
  const content = diffData(what, first?.data, second?.data);
  if (content.length > 0 || first === undefined || second === undefined || first.mode === second.mode) return content;
  return [{ what, how: 'other mode', first: first.mode.toString(8), second: second.mode.toString(8) }];
}

function diffData(what: string, first: Uint8Array | undefined, second: Uint8Array | undefined): ImageDifference[] {
  if (first === undefined) {
    return second === undefined ? [] : [{ what, how: 'only in the second', second: describe(second) }];
  }
  if (second === undefined) return [{ what, how: 'only in the first', first: describe(first) }];
  if (equalBytes(first, second)) return [];
  return [{ what, how: 'other content', first: describe(first), second: describe(second) }];
}

function describe(data: Uint8Array): string {
  return `sha256 ${toHex(createHash('sha256').update(data).digest())}, ${data.length} bytes`;
}
