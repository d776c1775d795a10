/**
 * Images for tests under QEMU: built from this checkout as everybody builds them, signed by a certificate of the test, and
 * the registers that an enclave of them must have, computed without booting.
 */
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { extendedPcr, zeroPcr } from '../../attestation/developer/registers.ts';
import { packageVersion } from '../../common/package-version.ts';
import { buildImage } from '../../images/build/build-image.ts';
import type { ImageKind } from '../../images/build/engine-files.ts';
import { signImage } from '../../images/eif/image-signature.ts';
import { measureImage } from '../../images/eif/measure-image.ts';
import { readImage } from '../../images/eif/read-image.ts';
import { writeImage } from '../../images/eif/write-image.ts';
import { present } from './present.ts';
import { makeTestCa, type TestCertificate } from './test-ca.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Role and id of the instance that a test's enclave believes to be on: registers 3 and 4. */
export const PARENT = { parentRole: 'arn:aws:iam::123456789012:role/arca-parent', parentId: 'i-0123456789abcdef0' };

/** An image and what it measures. */
export interface TestImage {
  readonly image: Uint8Array;
  /** Registers 0, 1, 2, and 8. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}

/** Builds and signs an image of this checkout: about 20 seconds. */
export async function buildTestImage(kind: ImageKind): Promise<TestImage> {
  const { image } = await buildImage({
    root: ROOT,
    kind,
    version: packageVersion(),
    sourceDateEpoch: 0,
    say: () => undefined,
  });
  return signTestImage(image, makeTestCa('Image signer', 'P-384').issue({ subject: 'arca test', curve: 'P-384' }));
}

/** Signs an image that bears no signature. */
export function signTestImage(image: Uint8Array, { cert, key }: TestCertificate): TestImage {
  const parts = readImage(image);
  const pcrs = measureImage(parts, new X509Certificate(cert).raw);
  const signature = { kind: 'signature', data: signImage(present(pcrs.get(0)), cert, key) } as const;
  return { image: writeImage({ ...parts, sections: [...parts.sections, signature] }), pcrs };
}

/** Returns the registers that an enclave of an image on {@link PARENT} must have, user registers aside. */
export function expectedRegisters({ pcrs }: TestImage): ReadonlyMap<number, Uint8Array> {
  const text = (value: string): Uint8Array => extendedPcr(zeroPcr(), new TextEncoder().encode(value));
  const all = new Map(Array.from({ length: 16 }, (_, index) => [index, zeroPcr()] as const));
  for (const [index, value] of pcrs) all.set(index, value);
  return all.set(3, text(PARENT.parentRole)).set(4, text(PARENT.parentId));
}
