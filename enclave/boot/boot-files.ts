/**
 * The parts of a boot document as files of this enclave, where the rest of the engine looks for those of any node. They lie
 * in memory and are public; each is believed for its signatures or its register alone.
 */
import { X509Certificate } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { writeNodeFile } from '../../attestation/node/node-files.ts';
import type { BootDocument } from '../../common/enclave-boot.ts';
import { KmsError } from '../../common/errors.ts';

/** Names of the files, in the folder that init makes. */
export const BOOT_FILES = {
  charter: 'charter.cbor',
  record: 'record.cbor',
  releases: 'releases.cbor',
  developerRoot: 'developer-root.pem',
} as const;

/** Writes all parts. @throws KmsError `REQUEST_INVALID` if the developer root is no certificate. */
export async function writeBootFiles(folder: string, document: BootDocument): Promise<void> {
  await writeNodeFile(`${folder}/${BOOT_FILES.charter}`, document.charter);
  await writeGoverned(folder, document);
  if (document.developer === undefined) return;
  await writeNodeFile(`${folder}/${BOOT_FILES.developerRoot}`, pemOf(document.developer.root));
}

/** Writes record and release set, which the parent may learn newer ones of while the engine runs. */
export async function writeGoverned(folder: string, { record, releases }: BootDocument): Promise<void> {
  for (const [name, bytes] of [
    [BOOT_FILES.record, record],
    [BOOT_FILES.releases, releases],
  ] as const) {
    if (bytes === undefined) await rm(`${folder}/${name}`, { force: true });
    else await writeNodeFile(`${folder}/${name}`, bytes);
  }
}

function pemOf(der: Uint8Array): Uint8Array {
  try {
    return new TextEncoder().encode(new X509Certificate(der).toString());
  } catch (error) {
    throw new KmsError('REQUEST_INVALID', 'boot document: developer.root is no certificate', {}, error);
  }
}
