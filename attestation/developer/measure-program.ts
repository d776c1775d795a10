/**
 * Measures the programs that a supervisor is about to start, in place of the hypervisor that measures an image: every
 * file that the process can load is hashed, and the hashes make the registers that its documents will show.
 *
 * A measurement is SHA-384 over lines of `digest  path`, as `sha384sum` prints them, so a person can check it with that
 * tool alone; docs/developers/software-nsm.md has the commands. Nothing here is secret.
 */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { type Clock, systemClock } from '../../common/clock.ts';
import type { Role } from '../role.ts';
import { digestFiles, type FileDigest, type FileIdentity, identify, sameIdentity } from './file-digests.ts';
import { fileLabel, listPrograms, type ProgramFiles, type ProgramPlace, roleOfEntry } from './program-files.ts';
import { extendedPcr, zeroPcr } from './registers.ts';

/** What a second look found. */
export interface ProgramLook {
  /** Labels of the files that were edited, added or removed since they were measured. */
  readonly changed: readonly string[];
  /** The measurement if nothing changed; otherwise one that no release can list. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}

/** A program that was measured. */
export interface MeasuredProgram {
  readonly role: Role;
  /**
   * What a release set lists: registers 0, 1, 2 of an engine (all, Node, sources), 4, 7, 11, 12 of core and connector
   * (Node, a constant, sources, all).
   */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** How many files it covers, Node included. */
  readonly files: number;
  /** The lines that were hashed, for people: `digest  path`. */
  readonly lines: readonly string[];
  /**
   * Looks at all files again; files that look the same are not read.
   *
   * @param startedMs - When the process was started. A file that was written after that counts as changed whatever it
   * holds now: what the process read of it is unknown.
   */
  look(startedMs?: number): Promise<ProgramLook>;
  /** Whether {@link look} finds nothing changed. */
  unchanged(): Promise<boolean>;
}

/** Which programs to measure. */
export interface MeasureOptions extends Omit<ProgramPlace, 'entry'> {
  readonly entries: readonly string[];
  readonly clock?: Clock;
}

const NODE_LABEL = 'node';

/** Register 7 of an instance tells its secure boot policy. Developer mode has none, and zero is never trusted. */
const NO_SECURE_BOOT = 'arca developer mode: no secure boot';

/**
 * A file written this short a time before it was read may have been written once more under the same time stamps,
 * so a later look reads it again.
 */
const RECENT_NS = 1_000_000_000n;

/** Time stamps of files may lag behind the clock by this much. */
const TIMESTAMP_LAG_MS = 100;

/** Stats between two turns of the loop. */
const LOOK_BATCH = 256;

/** Measures one program; see {@link measurePrograms}. */
export async function measureProgram(options: ProgramPlace & { readonly clock?: Clock }): Promise<MeasuredProgram> {
  const { entry, ...rest } = options;
  const [measured] = await measurePrograms({ ...rest, entries: [entry] });
  if (measured === undefined) throw new RangeError('one program makes one measurement');
  return measured;
}

/**
 * Measures programs together, so that what they share is read once.
 *
 * @returns One measurement for each entry, in order.
 * @throws KmsError `STATE_INVALID` naming a file or package that is missing or cannot be read, `REQUEST_INVALID` for a
 * module that is no program.
 */
export async function measurePrograms(options: MeasureOptions): Promise<readonly MeasuredProgram[]> {
  const { entries, nodePath, clock = systemClock } = options;
  const packageRoot = realpathSync(options.packageRoot);
  const places = entries.map((entry) => ({ entry, nodePath, packageRoot }));
  const listed = listPrograms(places);
  const recentNs = BigInt(Math.floor(clock.nowMs())) * 1_000_000n - RECENT_NS;
  const paths = new Set(listed.flatMap(({ nodePath: node, sources }) => [node, ...sources]));
  const digests = new Map((await digestFiles([...paths])).map((file) => [file.path, file]));
  return places.flatMap((place, at) => {
    const files = listed[at];
    return files === undefined ? [] : [new Measurement(place, files, digests, recentNs)];
  });
}

class Measurement implements MeasuredProgram {
  readonly role: Role;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly lines: readonly string[];
  readonly #place: ProgramPlace;
  readonly #files: ReadonlyMap<string, FileDigest>;
  readonly #nodePath: string;
  readonly #folders: ReadonlyMap<string, FileIdentity | undefined>;
  readonly #recentNs: bigint;

  constructor(place: ProgramPlace, files: ProgramFiles, digests: ReadonlyMap<string, FileDigest>, recentNs: bigint) {
    this.role = roleOfEntry(place.entry);
    this.#place = place;
    this.#nodePath = files.nodePath;
    this.#files = pick(digests, [files.nodePath, ...files.sources]);
    this.#folders = new Map(files.folders.map((folder) => [folder, identify(folder)]));
    this.#recentNs = recentNs;
    const node = line(this.#digestOf(files.nodePath), NODE_LABEL);
    const sources = files.sources.map((path) => line(this.#digestOf(path), fileLabel(place.packageRoot, path)));
    this.lines = [node, ...sources];
    this.pcrs = registers(this.role, place.entry, node, sources);
  }

  get files(): number {
    return this.lines.length;
  }

  async unchanged(): Promise<boolean> {
    return (await this.look()).changed.length === 0;
  }

  async look(startedMs = Number.POSITIVE_INFINITY): Promise<ProgramLook> {
    const changed = new Set<string>([...(await this.#editedFiles(startedMs)), ...this.#newFiles()]);
    if (changed.size === 0) return { changed: [], pcrs: this.pcrs };
    const labels = [...changed].map((path) => this.#label(path)).sort();
    const node = changed.has(this.#nodePath);
    const sources = changed.size > (node ? 1 : 0);
    return { changed: labels, pcrs: distrusted(this.role, this.pcrs, { node, sources }) };
  }

  /** Files whose bytes are not those that were measured, or that are gone. */
  async #editedFiles(startedMs: number): Promise<readonly string[]> {
    const edited: string[] = [];
    const writtenSinceStart = ({ ctimeNs }: FileIdentity) =>
      Number(ctimeNs / 1_000_000n) >= startedMs - TIMESTAMP_LAG_MS;
    const doubtful: string[] = [];
    let looked = 0;
    for (const [path, { identity }] of this.#files) {
      const now = identify(path);
      const same = now !== undefined && sameIdentity(now, identity);
      if (now === undefined || (!same && writtenSinceStart(now))) edited.push(path);
      else if (!same || identity.ctimeNs >= this.#recentNs) doubtful.push(path);
      if (++looked % LOOK_BATCH === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    for (const { path, digest } of await digestFiles(doubtful)) if (digest !== this.#digestOf(path)) edited.push(path);
    return edited;
  }

  /** Files that were not there, if any folder changed. */
  #newFiles(): readonly string[] {
    const sameEntries = ([folder, then]: readonly [string, FileIdentity | undefined]): boolean => {
      const now = identify(folder);
      if (now === undefined || then === undefined) return false;
      return sameIdentity(now, then) && then.mtimeNs < this.#recentNs;
    };
    if ([...this.#folders].every(sameEntries)) return [];
    const now = listPrograms([this.#place]).flatMap(({ nodePath, sources }) => [nodePath, ...sources]);
    return now.filter((path) => !this.#files.has(path));
  }

  #digestOf(path: string): string {
    return this.#files.get(path)?.digest ?? '';
  }

  #label(path: string): string {
    return path === this.#nodePath ? NODE_LABEL : fileLabel(this.#place.packageRoot, path);
  }
}

function pick(digests: ReadonlyMap<string, FileDigest>, paths: readonly string[]): ReadonlyMap<string, FileDigest> {
  return new Map(
    paths.flatMap((path) => {
      const file = digests.get(path);
      return file === undefined ? [] : [[path, file] as const];
    }),
  );
}

function line(digest: string, label: string): string {
  return `${digest}  ${label}`;
}

/** Which register holds what. */
const ENGINE_REGISTERS = { all: 0, node: 1, sources: 2 } as const;
const PARENT_REGISTERS = { node: 4, constant: 7, sources: 11, all: 12 } as const;

function registers(
  role: Role,
  entry: string,
  node: string,
  sources: readonly string[],
): ReadonlyMap<number, Uint8Array> {
  const at = role === 'engine' ? ENGINE_REGISTERS : PARENT_REGISTERS;
  const values: readonly (readonly [number, Uint8Array])[] = [
    [at.all, measured([entry, node, ...sources])],
    [at.node, measured([node])],
    [at.sources, measured(sources)],
    ...('constant' in at ? ([[at.constant, measured([NO_SECURE_BOOT])]] as const) : []),
  ];
  return new Map([...values].sort(([a], [b]) => a - b));
}

/** As an image is measured: a zero register, extended once with the digest of the content. */
function measured(lines: readonly string[]): Uint8Array {
  const content = lines.map((text) => `${text}\n`).join('');
  return extendedPcr(zeroPcr(), createHash('sha384').update(content).digest());
}

/**
 * What runs is not what was measured, and cannot be known any more: the registers of what changed get values that no
 * release lists. The others stay, so that a refusal shows where the change is.
 */
function distrusted(
  role: Role,
  pcrs: ReadonlyMap<number, Uint8Array>,
  changed: { readonly node: boolean; readonly sources: boolean },
): ReadonlyMap<number, Uint8Array> {
  const at = role === 'engine' ? ENGINE_REGISTERS : PARENT_REGISTERS;
  const mark = new TextEncoder().encode('changed after it was measured');
  const isGone = (index: number): boolean =>
    index === at.all || (index === at.node && changed.node) || (index === at.sources && changed.sources);
  return new Map([...pcrs].map(([index, value]) => [index, isGone(index) ? extendedPcr(value, mark) : value]));
}
