/**
 * Folders for one test, under the system's temporary folder: their names are short, so Unix sockets fit in.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The one thing that is needed of a test. */
export interface Teardown {
  teardown(clean: () => void | Promise<void>): unknown;
}

/** Returns the path of a new empty folder, which is removed when the test ends. */
export function tempDir(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'arca-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
