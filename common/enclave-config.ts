/**
 * What of a node's configuration the parent of an enclave may choose. The parent sends these keys and no others; the
 * engine refuses others by name. What matters for security stands in the charter or is signed by governance.
 *
 * Why each key can weaken nothing: docs/security/boot.md.
 */
import { type ConfigTable, isTable } from './config-env.ts';

/** Keys that every image takes. */
export const ENCLAVE_KEYS = [
  'aws.region',
  'aws.role_arn',
  'aws.instance_role',
  'backup_vault.keychain.aws_kms.root_key_spec',
  'backup_vault.keychain.custodians',
  'backup_vault.storage.s3.bucket',
  'backup_vault.storage.s3.prefix',
  'engine.treat_v0_extra_data_as_empty',
  'private_vault.keychain.aws_kms.root_key_spec',
  'private_vault.pin',
  'private_vault.storage.s3.bucket',
  'private_vault.storage.s3.prefix',
  'public_vault.storage.s3.bucket',
  'public_vault.storage.s3.prefix',
  'telemetry.log_level',
  'threshold.round_timeout_secs',
] as const;

/** Keys that a test image takes beside them. */
export const TEST_ENCLAVE_KEYS = [
  'developer_mode',
  'aws.developer_access_key_id',
  'aws.developer_secret_access_key',
  'aws.developer_s3_endpoint',
  'aws.developer_kms_endpoint',
] as const;

/** Which image it is for. */
export type EnclaveImage = 'production' | 'test';

/**
 * Returns the part of a configuration that the parent sends to its enclave.
 *
 * @param table - As TOML has it; what is not for the enclave is left out, the Core keeps it.
 */
export function enclaveTable(table: ConfigTable, image: EnclaveImage): ConfigTable {
  return cut(table, [], keysOf(image));
}

/** Returns the keys of a table that no parent may choose, in the order in which they stand. */
export function foreignKeys(table: ConfigTable, image: EnclaveImage): string[] {
  const keys = keysOf(image);
  return leaves(table, []).filter((path) => !isKnown(path, keys));
}

function keysOf(image: EnclaveImage): readonly string[] {
  return image === 'test' ? [...ENCLAVE_KEYS, ...TEST_ENCLAVE_KEYS] : ENCLAVE_KEYS;
}

/** A key, or a section without keys, such as `[threshold]`, which says something by being there. */
function isKnown(path: string, keys: readonly string[]): boolean {
  return keys.some((key) => key === path || key.startsWith(`${path}.`));
}

function cut(table: ConfigTable, path: readonly string[], keys: readonly string[]): ConfigTable {
  return Object.fromEntries(
    Object.entries(table).flatMap(([name, value]): [string, unknown][] => {
      const inner = [...path, name];
      if (!isKnown(inner.join('.'), keys)) return [];
      return [[name, isTable(value) ? cut(value, inner, keys) : value]];
    }),
  );
}

function leaves(table: ConfigTable, path: readonly string[]): string[] {
  return Object.entries(table).flatMap(([name, value]) => {
    const inner = [...path, name];
    const isSection = isTable(value) && Object.keys(value).length > 0;
    return isSection ? leaves(value, inner) : [inner.join('.')];
  });
}
