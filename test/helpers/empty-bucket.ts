/** Deletes out of an emulated bucket, as somebody does who owns the storage: below the emulator, without a request. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Deletes everything below `prefix` in a bucket of a state folder that is run with `--aws`; its emulator must not run.
 *
 * @returns How many objects there were.
 */
export function emptyBucket(dir: string, bucket: string, prefix: string): number {
  const folder = join(dir, 'aws', 'buckets', bucket);
  const records = readdirSync(folder).filter((name) => name.endsWith('.json'));
  const own = records.filter((name) => readFileSync(join(folder, name), 'utf8').includes(`"key":"${prefix}/`));
  for (const name of own) {
    for (const file of [name, name.replace('.json', '.bin')]) rmSync(join(folder, file), { force: true });
  }
  return own.length;
}
