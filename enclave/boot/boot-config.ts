/**
 * The configuration of an engine out of the parent's boot document: an allow-list of keys, each of which may weaken
 * nothing, and constants of the image for the rest. Nothing here is secret outside of test images.
 */
import { parse as parseToml } from 'smol-toml';
import { parseConfig } from '../../common/config.ts';
import { type ConfigTable, isTable } from '../../common/config-env.ts';
import { type EnclaveImage, foreignKeys } from '../../common/enclave-config.ts';
import { KmsError } from '../../common/errors.ts';
import { NodeConfig } from '../../common/node-config.ts';
import { BOOT_FILES } from './boot-files.ts';

/**
 * Reads the parent's part of the configuration and puts the image's constants beside it.
 *
 * @param folder - Where init and engine keep what they tell each other; the boot document's parts lie there.
 * @throws KmsError `CONFIG_INVALID` naming every key that is not the parent's to choose, or every value that is wrong.
 */
export function bootConfig(text: string, image: EnclaveImage, folder: string): NodeConfig {
  const foreign = foreignKeys(readTable(text), image);
  if (foreign.length > 0) {
    const names = foreign.slice(0, SHOWN).join(', ');
    const more = foreign.length > SHOWN ? ` and ${foreign.length - SHOWN} more` : '';
    const message = `the parent may not choose ${names}${more}: an enclave takes none of it`;
    throw new KmsError('CONFIG_INVALID', message, { keys: foreign.length });
  }
  const env = Object.fromEntries(
    [...constants(folder), ...(image === 'test' ? testConstants(folder) : [])].map(([key, value]) => [
      `KMS_CORE__${key.toUpperCase().replaceAll('.', '__')}`,
      value,
    ]),
  );
  return parseConfig(NodeConfig, { text, env, name: 'of the parent' });
}

/** Keys of a hostile document that are named; its text goes into a log. */
const SHOWN = 8;

/** Files of a node outside: an enclave has its parts of the boot document instead, and no sockets and no disk. */
const constants = (folder: string): readonly (readonly [string, string])[] => [
  ['engine.socket_path', `${folder}/none`],
  ['state.path', `${folder}/none`],
  ['attestation.charter_path', `${folder}/${BOOT_FILES.charter}`],
  ['attestation.record_path', `${folder}/${BOOT_FILES.record}`],
  ['attestation.releases_path', `${folder}/${BOOT_FILES.releases}`],
];

const testConstants = (folder: string): readonly (readonly [string, string])[] => [
  ['attestation.developer_root_path', `${folder}/${BOOT_FILES.developerRoot}`],
];

function readTable(text: string): ConfigTable {
  try {
    const table: unknown = parseToml(text);
    if (isTable(table)) return table;
  } catch {
    // Told below, with the line, by the reader of configurations.
  }
  return {};
}
