/**
 * What the engine leaves for init to say when it ends: why, and how much memory it would have needed. Nothing secret: the
 * parent reads it.
 */
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { enclaveMemoryNeedMb } from '../../common/enclave-memory.ts';
import { isKmsError } from '../../common/errors.ts';

const MAX_WORDS_BYTES = 1000;
/** The kernel is part of an image, and of no folder in it. */
const KERNEL_BYTES = 4 * 1024 * 1024;
/** What an image unpacks. */
const IMAGE_FOLDERS = ['/app', '/etc', '/lib', '/lib64', '/usr'];

/** Writes down why the engine ends; of an unexpected failure only that it was one. */
export function writeExitReason(folder: string, error: unknown): void {
  const words = isKmsError(error) ? `${error.code}: ${error.message}` : 'INTERNAL: the engine failed';
  const bytes = new TextEncoder().encode(words).subarray(0, MAX_WORDS_BYTES);
  try {
    writeFileSync(join(folder, 'exit-reason'), new TextDecoder().decode(bytes), { mode: 0o600 });
  } catch {
    // Without init nobody would read it; the log has it all the same.
  }
}

/** Writes down how much memory this image needs for this kind of node, for the case that it was not there. */
export function writeMemoryNeed(
  folder: string,
  threshold: boolean,
  folders: readonly string[] = IMAGE_FOLDERS,
): number {
  const imageBytes = KERNEL_BYTES + folders.reduce((sum, path) => sum + sizeOf(path), 0);
  const needMb = enclaveMemoryNeedMb({ imageBytes, threshold });
  writeFileSync(join(folder, 'need-mb'), String(needMb), { mode: 0o600 });
  return needMb;
}

function sizeOf(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}
