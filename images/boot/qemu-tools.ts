/** Finds what `scripts/qemu-setup` made on this machine; never makes it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KmsError } from '../../common/errors.ts';

const SETUP = join(import.meta.dirname, '../../scripts/qemu-setup');

/**
 * Returns the folder with QEMU, its firmware and the vsock daemon.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if they were not made yet.
 */
export async function findQemuTools(): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(SETUP, ['--check']);
    return stdout.trim();
  } catch (cause) {
    throw new KmsError(
      'UNAVAILABLE',
      'QEMU for enclave images is not on this machine',
      { cure: 'scripts/qemu-setup' },
      cause,
    );
  }
}
