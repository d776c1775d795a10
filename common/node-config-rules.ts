/**
 * Rules over several fields of a node's configuration. Each is judged whatever else is wrong, so that no fault hides
 * another, and names the field at fault.
 */
import { valueAt } from './config-env.ts';
import { DEVELOPER_ATTESTATION_KEYS } from './node-config-attestation.ts';
import { DEVELOPER_AWS_KEYS } from './node-config-aws.ts';

/** A rule over several fields: its check, and which field is at fault. */
export type Rule = [(table: unknown) => boolean, { path: PropertyKey[]; message: string; when: () => boolean }];

/** A number that may not exceed the one beside it. */
export function notAbove(name: string, limit: string): Rule {
  const check = (table: unknown): boolean => {
    const [value, most] = [valueAt(table, [name]), valueAt(table, [limit])];
    return typeof value !== 'number' || typeof most !== 'number' || value <= most;
  };
  return [check, { path: [name], message: `needs to be ${limit} or less`, when: () => true }];
}

/** What only a program of developer mode knows must not be asked of another, nor be missing there. */
export function developerKeys(): Rule {
  const key = (table: unknown, name: string): unknown => valueAt(table, ['attestation', name]);
  const check = (table: unknown): boolean => {
    const isDeveloper = valueAt(table, ['developer_mode']) === true;
    if (isDeveloper) return key(table, 'developer_root_path') !== undefined;
    return DEVELOPER_ATTESTATION_KEYS.every((name) => key(table, name) === undefined);
  };
  const message =
    'needs a developer root with developer_mode = true, and no developer_ key with developer_mode = false';
  return [check, { path: ['attestation', 'developer_root_path'], message, when: () => true }];
}

/** Emulators, fixed access keys and data keys in clear are for the developer programs alone. */
export function awsOnlyInDeveloperMode(): readonly Rule[] {
  const unlessDeveloper = (path: readonly string[]): Rule => [
    (table) => valueAt(table, ['developer_mode']) === true || valueAt(table, path) === undefined,
    { path: [...path], message: 'needs developer_mode = true', when: () => true },
  ];
  return [
    ...DEVELOPER_AWS_KEYS.map((key) => unlessDeveloper(['aws', key])),
    unlessDeveloper(['backup_vault', 'keychain', 'clear']),
  ];
}

/** A production image would refuse what it is told of emulators. */
export function emulatorsOnlyInDeveloperMode(): Rule {
  const path = ['enclave', 'developer_authorities_path'];
  const check = (table: unknown): boolean =>
    valueAt(table, ['developer_mode']) === true || valueAt(table, path) === undefined;
  return [check, { path, message: 'needs developer_mode = true', when: () => true }];
}

/** Policies of root keys name the role of the engine, which looks for it there. */
export function roleForKeys(): readonly Rule[] {
  return ['private_vault', 'backup_vault'].map((vault): Rule => {
    const check = (table: unknown): boolean =>
      valueAt(table, [vault, 'keychain', 'aws_kms']) === undefined ||
      valueAt(table, ['aws']) === undefined ||
      valueAt(table, ['aws', 'role_arn']) !== undefined;
    const message = `is missing; ${vault}.keychain.aws_kms needs the role that policies of root keys name`;
    return [check, { path: ['aws', 'role_arn'], message, when: () => true }];
  });
}

/** A backup is a copy of what is sealed. */
export function backupOfSealedAlone(): Rule {
  const check = (table: unknown): boolean =>
    valueAt(table, ['backup_vault']) === undefined || valueAt(table, ['private_vault', 'keychain']) !== undefined;
  const message = 'needs [private_vault.keychain]: what lies in clear has no backup';
  return [check, { path: ['backup_vault'], message, when: () => true }];
}

/** What of AWS is used needs to know where it is and who asks. */
export function awsWhereUsed(): Rule {
  const used = (table: unknown): boolean =>
    ['public_vault', 'private_vault', 'backup_vault'].some(
      (vault) =>
        valueAt(table, [vault, 'storage', 's3']) !== undefined ||
        valueAt(table, [vault, 'keychain', 'aws_kms']) !== undefined,
    );
  const check = (table: unknown): boolean => valueAt(table, ['aws']) !== undefined || !used(table);
  return [
    check,
    { path: ['aws'], message: 'is missing; S3 and aws_kms need its region and credentials', when: () => true },
  ];
}

/** A lie is a demonstration: no other program has the code for it, and none may be asked for it. */
export function honestUnlessDeveloper(): Rule {
  const check = (table: unknown): boolean =>
    valueAt(table, ['developer_mode']) === true || valueAt(table, ['threshold', 'developer_lie']) !== true;
  return [check, { path: ['threshold', 'developer_lie'], message: 'needs developer_mode = true', when: () => true }];
}
