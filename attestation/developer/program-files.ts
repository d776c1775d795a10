/**
 * Which files make up a program of ours: the Node binary, the folders of every layer that it may import, its native
 * parts, package.json and lockfile, and the npm packages that it can reach from there.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { KmsError } from '../../common/errors.ts';
import type { Role } from '../role.ts';

/** The files of a program. */
export interface ProgramFiles {
  readonly nodePath: string;
  /** Absolute paths of everything but Node. */
  readonly sources: readonly string[];
  /** Every folder that was listed: one whose entries changed may hold new files. */
  readonly folders: readonly string[];
}

/** Where a program stands. */
export interface ProgramPlace {
  /** Main module, relative to the package: `enclave/main-dev.ts`, or `dist/enclave/main-dev.js` once installed. */
  readonly entry: string;
  readonly nodePath: string;
  /** Folder of package.json. */
  readonly packageRoot: string;
}

const SHARED = ['attestation', 'common', 'storage', 'wire', 'proto', 'native'] as const;

/** The role of each program, by the folder of its main module, and the layers that it may import. */
const PROGRAMS: readonly { readonly folder: string; readonly role: Role; readonly layer: string }[] = [
  { folder: 'enclave', role: 'engine', layer: 'enclave' },
  { folder: 'parent/core', role: 'core', layer: 'parent' },
  { folder: 'parent/connector', role: 'connector', layer: 'parent' },
];

/** Rust's build folder holds gigabytes that no process loads. */
const NOT_LOADED = 'target';
/** What Node loads of ours, which leaves out what editors and compilers put beside it. */
const LOADABLE_OURS = /^[^.].*\.(?:[cm]?[jt]s|json|node|wasm)$/;
/** What Node loads out of a package; it refuses TypeScript there. */
const LOADABLE = /\.(?:[cm]?js|json|node|wasm)$/;

/**
 * Returns the role that a main module makes a process.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for any other module.
 */
export function roleOfEntry(entry: string): Role {
  return programOf(entry).role;
}

/**
 * Lists the files of programs of one package; what they share is looked for once.
 *
 * @throws {@link KmsError} `STATE_INVALID` if a folder or a package is missing.
 */
export function listPrograms(places: readonly ProgramPlace[]): readonly ProgramFiles[] {
  const known = new Map<string, Listing>();
  const once = (key: string, list: (listing: Listing) => void): Listing => {
    const listing = known.get(key) ?? { files: new Set(), folders: new Set() };
    if (!known.has(key)) list(listing);
    known.set(key, listing);
    return listing;
  };
  return places.map(({ entry, nodePath, packageRoot }) => {
    const { layer, base } = programOf(entry);
    const layers = [...SHARED, layer].map((folder) => {
      const path = join(packageRoot, base, folder);
      return once(path, (listing) => {
        if (existsSync(path)) walk(listing, path, LOADABLE_OURS);
        else if (folder === layer) throw missing(path);
      });
    });
    const parts = [...layers, once(packageRoot, (listing) => addPackages(listing, packageRoot))];
    const sources = new Set(parts.flatMap(({ files }) => [...files]));
    const folders = new Set(parts.flatMap((part) => [...part.folders]));
    return { nodePath: realpathSync(nodePath), sources: [...sources].sort(), folders: [...folders] };
  });
}

/** Returns the name of a file in a measurement: its path from the package, with `/` on every system. */
export function fileLabel(packageRoot: string, path: string): string {
  return relative(packageRoot, path).split(sep).join('/');
}

function programOf(entry: string): { readonly role: Role; readonly layer: string; readonly base: string } {
  const inDist = entry.startsWith('dist/');
  const path = inDist ? entry.slice('dist/'.length) : entry;
  const found = PROGRAMS.find(({ folder }) => path.startsWith(`${folder}/`));
  if (found === undefined || path.includes('..')) {
    throw new KmsError('REQUEST_INVALID', 'only the main modules of engine, core and connector are measured', {
      entry,
    });
  }
  return { role: found.role, layer: found.layer, base: inDist ? 'dist' : '' };
}

interface Listing {
  readonly files: Set<string>;
  readonly folders: Set<string>;
}

function walk(listing: Listing, folder: string, wanted: RegExp): void {
  listing.folders.add(folder);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (entry.name !== NOT_LOADED) walk(listing, path, wanted);
    } else if (entry.isFile()) {
      if (wanted.test(entry.name)) listing.files.add(path);
    } else if (!entry.name.startsWith('.')) {
      // Through a link to a folder a program would load what nobody measured. Editors' locks are links with a dot.
      throw linked(path);
    }
  }
}

/** Adds the package's own two files, and every package that its `dependencies` reach, found as Node finds it. */
function addPackages(listing: Listing, packageRoot: string): void {
  for (const name of ['package.json', 'package-lock.json']) {
    const path = join(packageRoot, name);
    if (existsSync(path)) listing.files.add(path);
  }
  const done = new Set<string>();
  const visit = (from: string, names: readonly string[], optional: ReadonlySet<string>): void => {
    for (const name of names) {
      const folder = findPackage(name, from);
      if (folder === undefined) {
        if (optional.has(name)) continue;
        throw missing(join(from, 'node_modules', name));
      }
      if (done.has(folder)) continue;
      done.add(folder);
      addPackage(listing, folder);
      const { required, others } = readManifest(folder);
      visit(folder, [...required, ...others], new Set(others));
    }
  };
  visit(packageRoot, readManifest(packageRoot).required, new Set());
}

/** Packages inside this one are packages of their own: those that are needed are found by name. */
function addPackage(listing: Listing, folder: string): void {
  listing.folders.add(folder);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.name === 'node_modules') listing.folders.add(path);
    else if (entry.isDirectory()) walk(listing, path, LOADABLE);
    else if (entry.isFile() && LOADABLE.test(entry.name)) listing.files.add(path);
  }
}

/** Looks in `node_modules` of every folder upwards, as Node does. */
function findPackage(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name);
    if (existsSync(join(path, 'package.json'))) return realpathSync(path);
    if (dirname(folder) === folder) return undefined;
  }
}

/** Returns what a package needs, and what it can do without. */
function readManifest(folder: string): { readonly required: readonly string[]; readonly others: readonly string[] } {
  const path = join(folder, 'package.json');
  let manifest: unknown;
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new KmsError('STATE_INVALID', `${path} cannot be read`, { path, cure: 'run `npm ci`' }, cause);
  }
  const required = namesIn(manifest, 'dependencies');
  const others = [...namesIn(manifest, 'optionalDependencies'), ...namesIn(manifest, 'peerDependencies')];
  return { required, others: others.filter((name) => !required.includes(name)) };
}

function namesIn(manifest: unknown, field: string): readonly string[] {
  if (manifest === null || typeof manifest !== 'object' || !(field in manifest)) return [];
  const value: unknown = Reflect.get(manifest, field);
  return value !== null && typeof value === 'object' ? Object.keys(value) : [];
}

function missing(path: string): KmsError {
  return new KmsError('STATE_INVALID', `${path} is missing, so the program cannot be measured`, {
    path,
    cure: 'run `npm ci`',
  });
}

function linked(path: string): KmsError {
  const cure = 'put a copy of the file in its place';
  return new KmsError('STATE_INVALID', `${path} is a link, and only plain files are measured`, { path, cure });
}
