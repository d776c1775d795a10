/**
 * One file of JavaScript out of an engine's main module and everything it imports. The same sources and lock file give
 * the same bytes, wherever the checkout lies. Nothing is minified, so that an auditor can read what is measured.
 *
 * What the engine never runs is left out instead of shipped: worker threads of the log library, and the AWS library's
 * search for credentials in files, the environment and other programs.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { Plugin } from 'esbuild';
import { KmsError } from '../../common/errors.ts';

/** What comes out. */
export interface EngineBundle {
  readonly code: Uint8Array;
  /** Our sources in it, relative to the checkout, sorted. */
  readonly sources: readonly string[];
  /** Packages of npm in it, sorted by name. */
  readonly packages: readonly BundledPackage[];
}

/** A package of npm of which something is in the bundle. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** Its folder, relative to the checkout. */
  readonly folder: string;
}

/** Modules of packages that are replaced by one that refuses. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  '@aws-sdk/credential-provider-node':
    "export const defaultProvider = () => async () => { throw new Error('an enclave is told its credentials'); };",
  'thread-stream':
    "module.exports = class { constructor() { throw new Error('an enclave logs in its own thread'); } };",
};
/**
 * Modules of ours that developer mode alone runs, and what a production bundle has in their place: keys and CRSs of a
 * quorum that every party could open. The answer is the one that the gate before them gives.
 */
const INSECURE: Readonly<Record<string, string>> = {
  'enclave/keys/key-generation.ts': refusing('thresholdKeyGeneration'),
  'enclave/keys/crs-generation.ts': refusing('thresholdCrsGeneration'),
};
/** CommonJS packages ask for built-in modules by `require`. The bundle has imports of its own, so names differ. */
const BANNER = "import { createRequire as requireOf } from 'node:module';\nconst require = requireOf(import.meta.url);";
const PACKAGE = /^node_modules\/(?:.*\/node_modules\/)?((?:@[^/]+\/)?[^/]+)\//;

/** What is bundled. */
export interface BundleOptions {
  /** The checkout, packages installed; absolute. */
  readonly root: string;
  /** The main module, relative to it. */
  readonly entry: string;
  /** What `packageVersion` will say. */
  readonly version: string;
  /** Whether what developer mode alone runs is in it. */
  readonly insecure: boolean;
}

/** See the file comment. @throws {@link KmsError} `PRECONDITION_FAILED` if it cannot be bundled. */
export async function bundleEngine({ root, entry, version, insecure }: BundleOptions): Promise<EngineBundle> {
  const { build } = await import('esbuild');
  try {
    const { outputFiles, metafile } = await build({
      absWorkingDir: root,
      entryPoints: [entry],
      outfile: join(root, 'engine.mjs'),
      write: false,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node24',
      // Paths of links would tell where the packages of this checkout really lie.
      preserveSymlinks: true,
      tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
      legalComments: 'none',
      charset: 'utf8',
      metafile: true,
      logLevel: 'silent',
      banner: { js: BANNER },
      plugins: [leaveOut(), compileIn(root, { ...(insecure ? {} : INSECURE), ...versionModule(version) })],
    });
    const inputs = Object.values(metafile.outputs)
      .flatMap((output) => Object.entries(output.inputs))
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([path]) => path);
    const [output] = outputFiles;
    if (output === undefined) throw new KmsError('INTERNAL', 'the bundler wrote nothing');
    return {
      code: output.contents,
      sources: inputs.filter((path) => !path.startsWith('node_modules/') && !path.includes(':')).sort(),
      packages: await packagesOf(root, inputs),
    };
  } catch (error) {
    if (error instanceof KmsError) throw error;
    throw new KmsError('PRECONDITION_FAILED', `cannot bundle ${entry}`, {}, error);
  }
}

const leaveOut = (): Plugin => ({
  name: 'leave-out',
  setup(build) {
    build.onResolve({ filter: /^[@a-z]/ }, ({ path }) =>
      Object.hasOwn(LEFT_OUT, path) ? { path, namespace: 'left-out' } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: LEFT_OUT[path] ?? '',
      loader: 'js',
    }));
  },
});

/** Modules of ours whose text is another one in the bundle. */
const compileIn = (root: string, modules: Readonly<Record<string, string>>): Plugin => ({
  name: 'compile-in',
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const contents = modules[relative(root, path)];
      return contents === undefined ? undefined : { contents, loader: 'js', resolveDir: dirname(path) };
    });
  },
});

/** There is no package.json in an image. */
const versionModule = (version: string): Readonly<Record<string, string>> => ({
  'common/package-version.ts': `export const packageVersion = () => ${JSON.stringify(version)};`,
});

function refusing(name: string): string {
  return [
    "import { notDistributed } from './generation-deps.ts';",
    `export const ${name} = () => () => { throw notDistributed(); };`,
  ].join('\n');
}

async function packagesOf(root: string, inputs: readonly string[]): Promise<readonly BundledPackage[]> {
  const folders = new Map<string, string>();
  for (const path of inputs) {
    const [start, name] = PACKAGE.exec(path) ?? [];
    if (start !== undefined && name !== undefined) folders.set(start.slice(0, -1), name);
  }
  const packages = [...folders].map(async ([folder, name]) => {
    const value: unknown = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'));
    const field = (key: string): string => {
      const found = value !== null && typeof value === 'object' ? Reflect.get(value, key) : undefined;
      return typeof found === 'string' ? found : 'unknown';
    };
    return { name, version: field('version'), licence: field('license'), folder };
  });
  return (await Promise.all(packages)).sort((a, b) => (a.folder < b.folder ? -1 : 1));
}
