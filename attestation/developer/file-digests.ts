/**
 * SHA-384 of many files, read and hashed on threads of their own. Every digest comes with the identity that its file
 * had when it was read, so that a later look tells by the identity alone whether the file may have changed.
 */
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { KmsError } from '../../common/errors.ts';

/** What tells one state of a file or folder from another without reading it. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly sizeBytes: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** A file that was read. */
export interface FileDigest {
  readonly path: string;
  /** SHA-384 in lower-case hex, as `sha384sum` prints it. */
  readonly digest: string;
  readonly identity: FileIdentity;
}

/** What a thread is given and what it gives back. */
export interface HashJob {
  readonly paths: readonly string[];
}
export type HashResult =
  | { readonly files: readonly FileDigest[] }
  | { readonly failed: string; readonly reason: string };

/** A source in a clone, JavaScript once installed. */
const WORKER = import.meta.url.endsWith('.ts')
  ? new URL('./hash-worker.ts', import.meta.url)
  : new URL('./hash-worker.js', import.meta.url);
const MAX_THREADS = 4;
/** Starting a thread costs about as much as hashing this many bytes. */
const THREAD_WORTH_BYTES = 32 * 1024 * 1024;
/** Opening a small file costs about as much as hashing this many bytes. */
const FILE_COST_BYTES = 32 * 1024;

/**
 * Hashes files; the largest ones are spread over the threads first.
 *
 * @returns One digest for each path, in the order given.
 * @throws {@link KmsError} `STATE_INVALID` naming a file that cannot be read.
 */
export async function digestFiles(paths: readonly string[]): Promise<readonly FileDigest[]> {
  if (paths.length === 0) return [];
  const results = await Promise.all(spread(paths).map((share) => runWorker({ paths: share })));
  const found = new Map(results.flat().map((file) => [file.path, file]));
  return paths.flatMap((path) => found.get(path) ?? []);
}

/** Returns the identity of a file or folder, undefined if there is none. */
export function identify(path: string): FileIdentity | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  const { dev: device, ino: inode, size: sizeBytes, mtimeNs, ctimeNs } = stats;
  return { device, inode, sizeBytes, mtimeNs, ctimeNs };
}

/** Returns whether two looks met the same state. */
export function sameIdentity(a: FileIdentity, b: FileIdentity): boolean {
  return (
    a.device === b.device &&
    a.inode === b.inode &&
    a.sizeBytes === b.sizeBytes &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs
  );
}

/** Gives each file, the largest first, to the thread that has the least to do so far. */
function spread(paths: readonly string[]): readonly string[][] {
  const sizeOf = (path: string) => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) + FILE_COST_BYTES;
  const sized = paths.map((path) => ({ path, costBytes: sizeOf(path) })).sort((a, b) => b.costBytes - a.costBytes);
  const totalBytes = sized.reduce((sum, { costBytes }) => sum + costBytes, 0);
  const threads = Math.min(MAX_THREADS, availableParallelism(), Math.ceil(totalBytes / THREAD_WORTH_BYTES));
  const shares = Array.from({ length: threads }, () => ({ costBytes: 0, paths: [] as string[] }));
  for (const { path, costBytes } of sized) {
    const [first, ...others] = shares;
    const least = others.reduce((best, share) => (best && share.costBytes >= best.costBytes ? best : share), first);
    least?.paths.push(path);
    if (least) least.costBytes += costBytes;
  }
  return shares.map((share) => share.paths);
}

function runWorker(job: HashJob): Promise<readonly FileDigest[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(WORKER, { workerData: job, execArgv: [] });
    worker.once('message', (result: HashResult) => {
      if ('files' in result) resolve(result.files);
      else reject(unreadable(result.failed, result.reason));
    });
    worker.once('error', (cause) => reject(new KmsError('UNAVAILABLE', 'a hashing thread failed', {}, cause)));
    worker.once('exit', (code) => reject(new KmsError('UNAVAILABLE', 'a hashing thread ended early', { code })));
  });
}

function unreadable(path: string, reason: string): KmsError {
  const cure = 'check its owner and mode, or install the program again';
  return new KmsError('STATE_INVALID', `cannot measure ${path}: ${reason}`, { path, cure });
}
