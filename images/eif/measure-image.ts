/**
 * What the hypervisor will measure of an image, computed without booting it. Spec: docs/formats/enclave-image.md.
 */
import { createHash } from 'node:crypto';
import { type EnclaveImage, ramdisksOf, sectionOf } from './format.ts';

const REGISTER_BYTES = 48;

/** Registers by number: 0, 1 and 2, and 8 for a signed image. */
export type ImageMeasurement = ReadonlyMap<number, Uint8Array>;

/**
 * Returns the measurement of an image.
 *
 * Nothing frames what is measured: bytes may move across the borders of kernel, command line and first RAM disk and leave
 * registers 0, 1 and 2 as they are. So no command line may weaken anything.
 *
 * @param certificate - DER of the certificate that the image is or will be signed with.
 */
export function measureImage(image: EnclaveImage, certificate?: Uint8Array): ImageMeasurement {
  const boot = [sectionOf(image, 'kernel'), sectionOf(image, 'cmdline')].filter((part) => part !== undefined);
  const [first, ...rest] = ramdisksOf(image);
  const disk = first === undefined ? [] : [first];
  return new Map([
    [0, extended([...boot, ...disk, ...rest])],
    [1, extended([...boot, ...disk])],
    [2, extended(rest)],
    ...(certificate === undefined ? [] : [[8, extended([certificate])] as const]),
  ]);
}

/** A register of zeros, extended with the digest of the parts. */
function extended(parts: readonly Uint8Array[]): Uint8Array {
  const digest = createHash('sha384');
  for (const part of parts) digest.update(part);
  return new Uint8Array(createHash('sha384').update(new Uint8Array(REGISTER_BYTES)).update(digest.digest()).digest());
}
