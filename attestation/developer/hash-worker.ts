/**
 * A thread that hashes files and ends: the main of the worker that file-digests.ts starts. Reading and hashing are
 * synchronous here, which is the fastest way and blocks nobody.
 */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { FileDigest, HashJob, HashResult } from './file-digests.ts';

const BUFFER_BYTES = 1024 * 1024;

function digestFile(path: string, buffer: Uint8Array): FileDigest {
  const fd = openSync(path, 'r');
  try {
    // The identity is taken before the bytes: whatever is written from here on shows at the next look.
    const { dev: device, ino: inode, size: sizeBytes, mtimeNs, ctimeNs } = fstatSync(fd, { bigint: true });
    const hash = createHash('sha384');
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) hash.update(buffer.subarray(0, read));
    return { path, digest: hash.digest('hex'), identity: { device, inode, sizeBytes, mtimeNs, ctimeNs } };
  } finally {
    closeSync(fd);
  }
}

function run({ paths }: HashJob): HashResult {
  const buffer = new Uint8Array(BUFFER_BYTES);
  const files: FileDigest[] = [];
  for (const path of paths) {
    try {
      files.push(digestFile(path, buffer));
    } catch (error) {
      return { failed: path, reason: error instanceof Error ? error.message : String(error) };
    }
  }
  return { files };
}

// What a worker is started with has no type of its own: file-digests.ts is the only one that starts this module.
const job: HashJob = workerData;
parentPort?.postMessage(run(job));
