/**
 * The three vaults of a node: public, private, backup. What keeps each (files or S3) and what seals the latter two.
 *
 * The keys of AWS KMS are named by the governed record alone: who writes the configuration chooses no root key.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { KmsError } from './errors.ts';

/** A published key that is somewhere else here, and why. */
const unavailable = (why: string) =>
  z
    .never({ error: `${why}; remove it` })
    .optional()
    .describe(`Refused: ${why}.`);

/** Name of a folder or of the first part of an address. */
export const bucketName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
    'needs letters, digits, dots, dashes or underscores, the first a letter or digit',
  );

/** Name of a bucket of S3. */
export const s3Bucket = z
  .string()
  .regex(
    /^(?!xn--)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
    'needs 3 to 63 lower-case letters, digits, dots and dashes',
  );

const storage = (defaultPrefix: string) => {
  const prefix = bucketName.default(defaultPrefix).describe('Folder below it; the parties of a quorum differ here.');
  return z
    .strictObject({
      file: z
        .strictObject({
          path: z.string().refine(isAbsolute, 'needs an absolute path').describe('Folder of the vault.'),
          prefix,
        })
        .optional()
        .describe('A vault in files.'),
      s3: z
        .strictObject({ bucket: s3Bucket.describe('Bucket of the vault, in the region of [aws].'), prefix })
        .optional()
        .describe('A vault in S3.'),
      ram: unavailable('a vault in memory would lose its keys; use file or s3'),
    })
    .refine(({ file, s3 }) => (file === undefined) !== (s3 === undefined), {
      message: 'needs exactly one of file and s3',
    })
    .describe('What keeps the vault.');
};

const awsKms = z
  .strictObject({
    root_key_spec: z
      .enum(['symm', 'asymm'], 'needs symm or asymm')
      .default('symm')
      .describe('Kind of the root key: symmetric, or RSA-4096.'),
    root_key_id: unavailable('the keys of AWS KMS stand in the governed record'),
  })
  .optional()
  .describe('Data keys under a root key of AWS KMS that only the attested engine can use.');

/** `[public_vault]`. */
export const publicVaultSection = z
  .strictObject({ storage: storage('PUB'), keychain: unavailable('nothing in the public vault is sealed') })
  .describe('Objects that anyone may fetch; core writes and serves them.');

/** `[private_vault]`. */
export const privateVaultSection = z
  .strictObject({
    storage: storage('PRIV'),
    keychain: z
      .strictObject({
        aws_kms: awsKms,
        secret_sharing: unavailable('custodians keep backups alone; a node starts without them'),
      })
      .refine(({ aws_kms: aws }) => aws !== undefined, { message: 'needs aws_kms' })
      .optional()
      .describe('What seals private objects; in developer mode, without it they lie in clear.'),
    pin: z
      .string()
      .regex(/^[1-9]\d{0,14}:[0-9a-f]{96}$/, 'needs SEQUENCE:DIGEST as `arca vault status` shows it after "pin"')
      .optional()
      .describe('State of a sealed vault that was written down: an older one, or another, does not open.'),
  })
  .refine(({ pin, keychain }) => pin === undefined || keychain !== undefined, {
    path: ['pin'],
    message: 'needs [private_vault.keychain]: a clear vault has no state to pin',
  })
  .refine(({ storage: { s3 }, keychain }) => s3 === undefined || keychain !== undefined, {
    path: ['keychain'],
    message: 'is missing; needs [private_vault.keychain] with aws_kms: nothing lies in clear in S3',
  })
  .describe('Keys of the node; the engine alone reads and writes them.');

/** `[backup_vault]`. */
export const backupVaultSection = z
  .strictObject({
    storage: storage('BACKUP'),
    keychain: z
      .strictObject({
        aws_kms: awsKms,
        custodians: z
          .strictObject({})
          .optional()
          .describe('Data keys under a key that custodians share; it is whole in a recovery alone.'),
        clear: z.strictObject({}).optional().describe('Data keys in clear; only in developer mode.'),
        secret_sharing: unavailable('it is called custodians'),
      })
      .refine((ways) => [ways.aws_kms, ways.custodians, ways.clear].filter((way) => way !== undefined).length === 1, {
        message: 'needs exactly one of aws_kms, custodians and, in developer mode, clear',
      })
      .describe('What seals backups; another root key than that of the private vault.'),
  })
  .describe('A second copy of each private object, sealed by a second keychain; none if absent.');

/** What keeps a vault: exactly one of the two. */
export type VaultStorage = z.infer<ReturnType<typeof storage>>;

/** What seals backups: exactly one of the three. */
export type BackupKeychain = z.infer<typeof backupVaultSection>['keychain'];

/** Returns the folder of a vault below its path or bucket. */
export function vaultPrefix({ storage: { file, s3 } }: { readonly storage: VaultStorage }): string {
  const prefix = file?.prefix ?? s3?.prefix;
  // The schema has let exactly one through.
  if (prefix === undefined) throw new KmsError('CONFIG_INVALID', 'a vault needs exactly one of file and s3');
  return prefix;
}

/**
 * Returns where a vault lies in files, for what cannot be done elsewhere.
 *
 * @param what - Which vault, for the message: `public_vault`.
 * @throws {@link KmsError} `CONFIG_INVALID` if it does not.
 */
export function fileVault(
  { storage: { file } }: { readonly storage: VaultStorage },
  what: string,
): NonNullable<VaultStorage['file']> {
  if (file !== undefined) return file;
  throw new KmsError('CONFIG_INVALID', `${what}.storage: needs file here, not s3`);
}
