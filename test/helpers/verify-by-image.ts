/**
 * What `arca attest verify` says of a booted enclave: it has the registers that its image measures, and not those that the
 * image measures with one byte changed.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ramdisksOf } from '../../images/eif/format.ts';
import { readImage } from '../../images/eif/read-image.ts';
import { runArca } from './cli-script.ts';
import { changedImage } from './enclave-image.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** What of tap is used. */
interface Assert extends Teardown {
  equal(found: unknown, wanted: unknown, message: string): unknown;
  match(found: unknown, pattern: unknown, message: string): unknown;
}

/** Verifies what answers at `target`, under a developer root, by its image and by another. */
export async function verifyByImage(t: Assert, image: Uint8Array, target: string, root: string): Promise<void> {
  const folder = tempDir(t);
  const verify = async (name: string, bytes: Uint8Array) => {
    const [path, registers] = [join(folder, `${name}.eif`), join(folder, `${name}.json`)];
    writeFileSync(path, bytes);
    const measured = await runArca(['image', 'measure', path, '--json']);
    t.equal(measured.code, 0, `measured: ${measured.stderr}`);
    writeFileSync(registers, measured.stdout);
    return await runArca(['attest', 'verify', target, '--expect', registers, '--root', root, '--json']);
  };
  const own = await verify('own', image);
  t.equal(own.code, 0, `its own image: ${own.stdout}${own.stderr}`);
  const changed = changedImage(image);
  t.equal(differingBytes(image, changed), 1, 'one byte of a RAM disk');
  const refused = await verify('changed', changed);
  t.equal(refused.code, 1, 'not with that byte changed');
  t.match(refused.stdout, /PCR0/i, 'the register over all is named');
  t.match(refused.stdout, /PCR2/i, 'and that over the RAM disk');
}

/** In how many bytes the RAM disks of two images of one size differ. */
function differingBytes(one: Uint8Array, other: Uint8Array): number {
  const [disks, others] = [one, other].map((bytes) => Buffer.concat(ramdisksOf(readImage(bytes))));
  let count = 0;
  for (const [at, byte] of disks?.entries() ?? []) if (byte !== others?.[at]) count++;
  return disks?.length === others?.length ? count : Number.NaN;
}
