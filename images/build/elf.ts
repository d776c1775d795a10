/**
 * Reads from a 64-bit little-endian ELF file which shared libraries and which loader it asks for, so that an image holds
 * those and no others. The files are pinned parts of our own; what is malformed is refused all the same.
 */
import { KmsError } from '../../common/errors.ts';

/** What a program or library asks for. */
export interface ElfNeeds {
  readonly libraries: readonly string[];
  /** Path of the loader; programs alone have one. */
  readonly interpreter?: string | undefined;
}

const IDENT = [0x7f, 0x45, 0x4c, 0x46, 2, 1];
const HEADER_AT = { programs: 32, programSize: 54, programCount: 56 } as const;
const SEGMENT = { load: 1, dynamic: 2, interpreter: 3 } as const;
const TAG = { end: 0n, needed: 1n, strings: 5n } as const;
const DYNAMIC_ENTRY_BYTES = 16;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: bigint;
  readonly sizeBytes: number;
}

/** See the file comment. @throws {@link KmsError} `REQUEST_INVALID` for anything else. */
export function readElfNeeds(file: Uint8Array): ElfNeeds {
  if (!IDENT.every((byte, at) => file[at] === byte)) throw malformed('it is no 64-bit little-endian ELF file');
  try {
    const segments = readSegments(file);
    const interpreter = segments.find(({ type }) => type === SEGMENT.interpreter);
    return {
      libraries: readNeeded(file, segments),
      ...(interpreter && { interpreter: textAt(file, interpreter.offset) }),
    };
  } catch (error) {
    if (error instanceof RangeError) throw malformed('it is cut', error);
    throw error;
  }
}

function readSegments(file: Uint8Array): readonly Segment[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const first = Number(view.getBigUint64(HEADER_AT.programs, true));
  const size = view.getUint16(HEADER_AT.programSize, true);
  return Array.from({ length: view.getUint16(HEADER_AT.programCount, true) }, (_, index) => {
    const at = first + index * size;
    return {
      type: view.getUint32(at, true),
      offset: Number(view.getBigUint64(at + 8, true)),
      address: view.getBigUint64(at + 16, true),
      sizeBytes: Number(view.getBigUint64(at + 32, true)),
    };
  });
}

function readNeeded(file: Uint8Array, segments: readonly Segment[]): readonly string[] {
  const dynamic = segments.find(({ type }) => type === SEGMENT.dynamic);
  if (!dynamic) return [];
  const view = new DataView(file.buffer, file.byteOffset + dynamic.offset, dynamic.sizeBytes);
  const entries: (readonly [bigint, bigint])[] = [];
  for (let at = 0; at + DYNAMIC_ENTRY_BYTES <= dynamic.sizeBytes; at += DYNAMIC_ENTRY_BYTES) {
    const tag = view.getBigUint64(at, true);
    if (tag === TAG.end) break;
    entries.push([tag, view.getBigUint64(at + 8, true)]);
  }
  const [, address] = entries.find(([tag]) => tag === TAG.strings) ?? [];
  if (address === undefined) return [];
  const inside = segments.find(
    (segment) =>
      segment.type === SEGMENT.load &&
      address >= segment.address &&
      address < segment.address + BigInt(segment.sizeBytes),
  );
  if (!inside) throw malformed('its names lie in no segment');
  const strings = inside.offset + Number(address - inside.address);
  return entries.filter(([tag]) => tag === TAG.needed).map(([, offset]) => textAt(file, strings + Number(offset)));
}

function textAt(file: Uint8Array, offset: number): string {
  const end = file.indexOf(0, offset);
  if (offset >= file.length || end < 0) throw malformed('a name is cut');
  return Buffer.from(file.subarray(offset, end)).toString('latin1');
}

function malformed(why: string, cause?: unknown): KmsError {
  return new KmsError('REQUEST_INVALID', `cannot read what a file is linked to: ${why}`, {}, cause);
}
