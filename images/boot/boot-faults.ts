/**
 * What keeps an image from booting, found before anything is started: an enclave that does not come up only times out, and
 * says nothing. The file may be anybody's.
 */
import { isKmsError } from '../../common/errors.ts';
import { type EnclaveImage, sectionOf } from '../eif/format.ts';
import { readSignature, signatureFaults } from '../eif/image-signature.ts';
import { measureImage } from '../eif/measure-image.ts';
import { readImage } from '../eif/read-image.ts';

/** Version that QEMU's loader and AWS's both take. */
const BOOTED_VERSION = 4;

/**
 * Returns everything for which an image does not boot on this machine at a time; none if it does: cut or damaged, of another
 * architecture, signed with a certificate that is not valid now, or for another image.
 *
 * @param architecture - As in `process.arch`.
 */
export function bootFaults(file: Uint8Array, architecture: string, nowMs: number): readonly string[] {
  const faults: string[] = [];
  attempt(faults, () => {
    const image = readImage(file);
    const here = architecture === 'arm64' ? 'aarch64' : 'x86_64';
    if (image.architecture !== here) faults.push(`it is for ${image.architecture}, this machine is ${here}`);
    if (image.version !== BOOTED_VERSION) faults.push(`version ${image.version} does not boot, ${BOOTED_VERSION} does`);
    attempt(faults, () => faults.push(...ofSignature(image, nowMs)), 'its signature cannot be read: ');
  });
  return faults;
}

function ofSignature(image: EnclaveImage, nowMs: number): readonly string[] {
  const section = sectionOf(image, 'signature');
  if (section === undefined) return [];
  const pcr0 = measureImage(image).get(0) ?? new Uint8Array();
  return signatureFaults(readSignature(section), pcr0, nowMs).map((fault) => `its signature does not count: ${fault}`);
}

function attempt(faults: string[], look: () => void, prefix = ''): void {
  try {
    look();
  } catch (error) {
    if (!isKmsError(error)) throw error;
    faults.push(`${prefix}${error.message}`);
  }
}
