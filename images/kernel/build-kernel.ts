/**
 * The kernel of an image: Debian's source package, pinned by digest, with the configuration beside this file. What comes
 * out has to have the digest in images/build/parts.ts; it is kept in the cache and never in this repository.
 */
import { copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { KmsError } from '../../common/errors.ts';
import { expectDigest, sha256 } from '../build/digest.ts';
import { fetchDeb } from '../build/fetch-deb.ts';
import { KERNEL_PART, TOOLCHAIN } from '../build/parts.ts';
import { cacheFolder, runTool } from '../build/run-tool.ts';

const CONFIG = join(import.meta.dirname, 'enclave.config');
const SOURCE = 'usr/src/linux-source-6.12.tar.xz';
const BUILT = 'arch/x86/boot/bzImage';
/** What a kernel would otherwise tell of who built it where and when. */
const FIXED = {
  KBUILD_BUILD_TIMESTAMP: '1970-01-01',
  KBUILD_BUILD_USER: 'arca',
  KBUILD_BUILD_HOST: 'arca',
  KBUILD_BUILD_VERSION: '1',
  LC_ALL: 'C',
};

/** Where a kernel lies once it is built. */
const keptKernel = (digest: string): string => join(cacheFolder(), 'kernel', digest.slice(0, 16), 'bzImage');

/**
 * Returns the kernel, out of the cache, or built (about 14 minutes of one processor).
 *
 * @param say - Told before what takes long.
 * @throws {@link KmsError} `PRECONDITION_FAILED` if what was built has another digest, with the compiler that is expected.
 */
export async function kernel(say: (line: string) => void): Promise<Uint8Array> {
  const kept = await readFile(keptKernel(KERNEL_PART.sha256)).catch(() => undefined);
  if (kept !== undefined && sha256(kept) === KERNEL_PART.sha256) return kept;
  say(`kernel: building ${KERNEL_PART.release} (about 8 minutes on 2 processors, once)`);
  const folder = join(cacheFolder(), 'kernel');
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, '.build-'));
  try {
    await compile(work);
    const built = await readFile(join(work, 'linux', BUILT));
    // Kept whatever it is: who changes the pinned digest to that of a new kernel does not have to build it again.
    const file = keptKernel(sha256(built));
    await mkdir(dirname(file), { recursive: true });
    await copyFile(join(work, 'linux', BUILT), `${file}.new`);
    await rename(`${file}.new`, file);
    checkKernel(built);
    return built;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function compile(work: string): Promise<void> {
  const { PATH: path = '' } = process.env;
  const env = { PATH: path, ...FIXED };
  const linux = join(work, 'linux');
  await runTool('dpkg-deb', ['-x', await fetchDeb(KERNEL_PART.source), join(work, 'package')]);
  await mkdir(linux);
  await runTool('tar', ['-xf', join(work, 'package', SOURCE), '-C', linux, '--strip-components=1'], { env });
  const options = { cwd: linux, env };
  await runTool('make', ['-s', 'tinyconfig'], options);
  await runTool('scripts/kconfig/merge_config.sh', ['-m', '.config', CONFIG], options);
  await runTool('make', ['-s', 'olddefconfig'], options);
  await checkConfig(join(linux, '.config'));
  await runTool('nice', ['make', '-s', `-j${availableParallelism()}`, 'bzImage'], options);
}

/** An option whose dependency is missing is dropped without a word. */
async function checkConfig(file: string): Promise<void> {
  const have = new Set((await readFile(file, 'utf8')).split('\n'));
  const wanted = (await readFile(CONFIG, 'utf8')).split('\n').filter((line) => line.startsWith('CONFIG_'));
  const dropped = wanted.filter((line) => !have.has(line));
  if (dropped.length === 0) return;
  throw new KmsError('PRECONDITION_FAILED', `the kernel's configuration lost ${dropped.join(', ')}`);
}

function checkKernel(built: Uint8Array): void {
  try {
    expectDigest('the kernel', built, KERNEL_PART.sha256);
  } catch (error) {
    const message = `the kernel came out with other bytes than everybody's; compiler and linker have to be ${TOOLCHAIN['c++']}, ${TOOLCHAIN.ld}`;
    throw new KmsError('PRECONDITION_FAILED', message, { found: sha256(built) }, error);
  }
}
