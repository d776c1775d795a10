/**
 * SHA-384 of many files, read and hashed on threads of their own. Every digest comes with the identity that its file
 * had when it was read, so that a later look tells by the identity alone whether the file may have changed.
 */
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
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

const WORKER = new URL(`./hash-worker${extname(import.meta.url)}`, import.meta.url);
const MAX_THREADS = 4;

/**
 * Hashes files; the largest ones are spread over the threads first.
 *
 * @returns One digest for each path, in the order given.
 * @throws {@link KmsError} `STATE_INVALID` naming a file that cannot be read.
 */
export async function digestFiles(paths: readonly string[]): Promise<readonly FileDigest[]> {
  if (paths.length === 0) return [];
  const shares = spread(paths, Math.min(MAX_THREADS, Math.max(1, availableParallelism()), paths.length));
  const results = await Promise.all(shares.map((share) => runWorker({ paths: share })));
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

/** Gives each file, the largest first, to the thread that has the fewest bytes so far. */
function spread(paths: readonly string[], threads: number): readonly string[][] {
  const shares = Array.from({ length: threads }, () => ({ sizeBytes: 0, paths: [] as string[] }));
  const sized = paths.map((path) => ({ path, sizeBytes: statSync(path, { throwIfNoEntry: false })?.size ?? 0 }));
  for (const { path, sizeBytes } of sized.sort((a, b) => b.sizeBytes - a.sizeBytes)) {
    const least = shares.reduce((best, share) => (share.sizeBytes < best.sizeBytes ? share : best));
    least.paths.push(path);
    least.sizeBytes += sizeBytes + FILE_COST_BYTES;
  }
  return shares.map((share) => share.paths);
}

/** Opening a small file costs about as much as hashing this many bytes. */
const FILE_COST_BYTES = 32 * 1024;

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
