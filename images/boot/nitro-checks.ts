/**
 * What a Nitro parent needs before an enclave can start: the device, AWS's program, CPUs of the pool, huge pages on one
 * memory node. Everything is read, nothing changed.
 */
import { constants } from 'node:fs';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isKmsError } from '../../common/errors.ts';
import type { EnclaveNeed, Finding } from './backend.ts';
import type { NitroCli } from './nitro-command.ts';

/** Where to look. */
export interface NitroParent {
  readonly cli: NitroCli;
  readonly program: string;
  /** `/`; another folder in tests. */
  readonly root: string;
  /** Memory of an enclave that the start will end. */
  readonly leftoverMb: number;
}

const DEVICE = 'dev/nitro_enclaves';
const ALLOCATOR = 'etc/nitro_enclaves/allocator.yaml';
const POOL = 'sys/module/nitro_enclaves/parameters/ne_cpus';
const THREADS = 'sys/devices/system/cpu/smt/active';
const NODES = 'sys/devices/system/node';
const RESTART = 'and run: systemctl restart nitro-enclaves-allocator';
const CONFIG = `/${ALLOCATOR}`;

/** Looks at everything; see the file comment. */
export async function checkNitroParent(need: EnclaveNeed, parent: NitroParent): Promise<readonly Finding[]> {
  const { root } = parent;
  return await Promise.all([
    checkDevice(root),
    checkProgram(parent),
    checkAllocator(need, root),
    checkCpus(need, root),
    checkMemory(need, parent),
  ]);
}

async function checkDevice(root: string): Promise<Finding> {
  const name = 'device';
  const path = `/${DEVICE}`;
  try {
    await access(join(root, DEVICE));
  } catch {
    const cure =
      'start an instance of a type that has enclaves with EnclaveOptions.Enabled, and install aws-nitro-enclaves-cli';
    return { name, ok: false, found: `${path} is not there`, cure };
  }
  try {
    await access(join(root, DEVICE), constants.R_OK | constants.W_OK);
    return { name, ok: true, found: path };
  } catch {
    const cure = 'add this user to the group ne: usermod -aG ne USER';
    return { name, ok: false, found: `${path} may not be opened by this user`, cure };
  }
}

async function checkProgram({ cli, program }: NitroParent): Promise<Finding> {
  const name = 'nitro-cli';
  try {
    const version = (await cli(['--version'])).trim().split('\n')[0] ?? '';
    return { name, ok: true, found: version.slice(0, 80) || program };
  } catch (error) {
    const found = isKmsError(error) ? error.message : `${program} cannot be run`;
    return { name, ok: false, found, cure: 'install aws-nitro-enclaves-cli' };
  }
}

/** The file may list several enclaves, each with its own reservation; what counts is one that is large enough. */
async function checkAllocator({ memoryMb, cpus }: EnclaveNeed, root: string): Promise<Finding> {
  const name = 'allocator';
  const text = await readIfThere(join(root, ALLOCATOR));
  const want = `memory_mib: ${memoryMb} and cpu_count: ${cpus} or more`;
  if (text === undefined) {
    return { name, ok: false, found: `${CONFIG} is not there`, cure: `write it with ${want}, ${RESTART}` };
  }
  const largest = Math.max(0, ...[...text.matchAll(/^[\s-]*memory_mib:\s*(\d+)/gm)].map(([, mib]) => Number(mib)));
  if (largest >= memoryMb) return { name, ok: true, found: `reserves ${largest} MB` };
  const found = `${CONFIG} reserves ${largest} MB, the enclave needs ${memoryMb} MB`;
  return { name, ok: false, found, cure: `set ${want} there, ${RESTART}` };
}

async function checkCpus({ cpus }: EnclaveNeed, root: string): Promise<Finding> {
  const name = 'cpus';
  const threads = (await readIfThere(join(root, THREADS)))?.trim() === '1';
  if (threads && cpus % 2 === 1) {
    const cure = 'set [enclave] cpus to an even number';
    return { name, ok: false, found: `${cpus} CPUs are no whole cores: a core here has two threads`, cure };
  }
  const pool = await readIfThere(join(root, POOL));
  const cure = `set cpu_count: ${cpus} or more in ${CONFIG} ${RESTART}`;
  if (pool === undefined) return { name, ok: false, found: 'the driver nitro_enclaves is not loaded', cure };
  const count = cpusOf(pool.trim());
  const found = count === 0 ? 'no CPU is reserved for enclaves' : `${count} reserved for enclaves (${pool.trim()})`;
  return count >= cpus ? { name, ok: true, found } : { name, ok: false, found: `${found}, ${cpus} are needed`, cure };
}

/** An enclave's memory is on one memory node; pages that another enclave holds are not free. */
async function checkMemory({ memoryMb }: EnclaveNeed, { root, leftoverMb }: NitroParent): Promise<Finding> {
  const name = 'memory';
  const nodes = (await list(join(root, NODES))).filter((entry) => /^node\d+$/.test(entry));
  let best = 0;
  for (const node of nodes) best = Math.max(best, await freeHugeMb(join(root, NODES, node, 'hugepages')));
  const left = leftoverMb === 0 ? '' : `, and ${leftoverMb} MB are held by an enclave that the start ends`;
  const found = `${best} MB of huge pages are free on one memory node${left}`;
  if (best + leftoverMb >= memoryMb) return { name, ok: true, found };
  const cure = `end other enclaves, or set memory_mib: ${memoryMb} or more in ${CONFIG} ${RESTART}`;
  return { name, ok: false, found: `${found}, ${memoryMb} MB are needed`, cure };
}

async function freeHugeMb(folder: string): Promise<number> {
  let freeKb = 0;
  for (const entry of await list(folder)) {
    const sizeKb = Number(/^hugepages-(\d+)kB$/.exec(entry)?.[1] ?? 0);
    const pages = Number((await readIfThere(join(folder, entry, 'free_hugepages')))?.trim() ?? 0);
    freeKb += sizeKb * (Number.isSafeInteger(pages) ? pages : 0);
  }
  return Math.floor(freeKb / 1024);
}

/** Counts a list such as `1,5-7`. */
function cpusOf(pool: string): number {
  return [...pool.matchAll(/(\d+)(?:-(\d+))?/g)].reduce((sum, [, first, last]) => {
    const count = Number(last ?? first) - Number(first) + 1;
    return sum + Math.max(0, count);
  }, 0);
}

const list = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => []);

const readIfThere = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined);
