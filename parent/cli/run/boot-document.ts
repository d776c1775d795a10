/**
 * The boot document of a node: what of its configuration a parent may choose, and the files of governance as they are now.
 * The enclave believes none of it; see docs/security/boot.md.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { stringify } from 'smol-toml';
import { formatVaultPoint, parseVaultPoint, readKeptHead } from '../../../attestation/node/kept-head.ts';
import type { BootDeveloper, BootDocument } from '../../../common/enclave-boot.ts';
import { enclaveTable } from '../../../common/enclave-config.ts';
import { systemErrorCode } from '../../../common/errors.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { failure } from '../framework/failure.ts';
import { readIfThere } from '../supervise/developer-trust.ts';

/**
 * Returns the document.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if a file that it needs cannot be read.
 */
export async function bootDocument(config: NodeConfig): Promise<BootDocument> {
  const { charter_path: charterPath, record_path: recordPath, releases_path: releasesPath } = config.attestation;
  const [record, releases] = [await readIfThere(recordPath), await readIfThere(releasesPath)];
  const table = enclaveTable(await withKeptHead(config), config.developer_mode ? 'test' : 'production');
  return {
    node: stringify(table),
    charter: await readNeeded(charterPath, 'attestation.charter_path'),
    ...(record && { record }),
    ...(releases && { releases }),
    ...(config.developer_mode && { developer: await developerPart(config) }),
  };
}

/** Pins what this machine's Core has kept of the vault, unless its operator pinned a later state. */
async function withKeptHead(config: NodeConfig): Promise<NodeConfig> {
  const { private_vault: vault } = config;
  const kept = vault.keychain && (await readKeptHead(config));
  const pinned = parseVaultPoint(vault.pin ?? '')?.sequence ?? 0;
  if (kept === undefined || kept.sequence <= pinned) return config;
  return { ...config, private_vault: { ...vault, pin: formatVaultPoint(kept) } };
}

async function developerPart({ attestation, enclave }: NodeConfig): Promise<BootDeveloper> {
  const root = await readNeeded(attestation.developer_root_path ?? '', 'attestation.developer_root_path');
  const path = enclave?.developer_authorities_path;
  const authorities = path && Buffer.from(await readNeeded(path, 'enclave.developer_authorities_path'));
  return { root: new X509Certificate(root).raw, authorities: authorities ? authorities.toString('utf8') : '' };
}

async function readNeeded(path: string, setting: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const why = systemErrorCode(error) === 'ENOENT' ? 'there is no such file' : 'it cannot be read';
    throw failure('CONFIG_INVALID', `${setting}: ${path}: ${why}`, 'correct the configuration', {}, error);
  }
}
