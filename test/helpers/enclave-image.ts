/**
 * Images for tests under QEMU: built from this checkout as everybody builds them, signed by a certificate of the test, and
 * the registers that an enclave of them must have, computed without booting.
 */
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { extendedPcr, zeroPcr } from '../../attestation/developer/registers.ts';
import { toHex } from '../../common/bytes.ts';
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

/** Role of the instance that a test's enclave is on: register 3. */
export const PARENT_ROLE = 'arn:aws:iam::123456789012:role/arca-parent';

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

/** Returns an image that differs from another in one byte of a file that it starts: well formed, its checksum right. */
export function changedImage(image: Uint8Array): Uint8Array {
  const parts = readImage(image);
  const sections = parts.sections
    .filter(({ kind }) => kind !== 'signature')
    .map(({ kind, data }) => ({ kind, data: Uint8Array.from(data) }));
  const disk = present(sections.findLast(({ kind }) => kind === 'ramdisk'));
  const at = Buffer.from(disk.data.buffer).indexOf('Apache License');
  disk.data[at] = 'a'.charCodeAt(0);
  return writeImage({ ...parts, sections });
}

/** Returns all registers that an enclave of an image must have on an instance, under a charter; none of them is the guest's word. */
export function expectedRegisters(
  { pcrs }: TestImage,
  parentId: string,
  pcr16: Uint8Array,
): Readonly<Record<string, string>> {
  const text = (value: string): Uint8Array => extendedPcr(zeroPcr(), new TextEncoder().encode(value));
  const all = new Map(Array.from({ length: 32 }, (_, index) => [index, zeroPcr()] as const));
  for (const [index, value] of pcrs) all.set(index, value);
  all.set(3, text(PARENT_ROLE)).set(4, text(parentId)).set(16, pcr16);
  return Object.fromEntries([...all].map(([index, value]) => [String(index), toHex(value)]));
}
