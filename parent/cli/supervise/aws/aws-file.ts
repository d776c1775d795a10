/**
 * `aws/aws.json` of a state folder that is run with `--aws`: who may call the emulators of S3 and AWS KMS that belong to it, and
 * which root keys its parties have there.
 *
 * SECRET as far as anything emulated is: whoever reads the file may call the emulators as anybody. The root keys themselves stand
 * beside it, in clear. What is protected on such a folder is the buckets, and only from those who have nothing else of it.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { toHex } from '../../../../common/bytes.ts';
import { type RandomSource, systemRandom } from '../../../../common/random.ts';
import { failure, hasCode } from '../../framework/failure.ts';
import { STATE_FILES } from '../state-folder.ts';

/** The emulated account and region. */
export const EMULATED = { account: '111122223333', region: 'eu-central-1' } as const;

/** Buckets: what anyone may read, what is sealed, and the second copy of that. */
export const BUCKETS = { public: 'kms', private: 'kms-private', backup: 'kms-backup' } as const;

/** What may seal backups: the second root key of each party, or the key that custodians share. */
export const BACKUP_KEYCHAINS = ['aws-kms', 'custodians'] as const;

/** A word out of {@link BACKUP_KEYCHAINS}. */
export type BackupKeychainName = (typeof BACKUP_KEYCHAINS)[number];

const accessKey = z.strictObject({ accessKeyId: z.string(), secretAccessKey: z.string() });
const hexDigest = z.string().regex(/^[0-9a-f]{96}$/);

const AwsFileSchema = z.strictObject({
  format: z.literal('arca-aws'),
  version: z.literal(1),
  /** Taken again if they are free. */
  ports: z.strictObject({ s3: z.int(), kms: z.int() }).optional(),
  /** What seals backups. */
  backup: z.enum(BACKUP_KEYCHAINS).default('aws-kms'),
  admin: accessKey,
  parties: z.array(
    z.strictObject({
      party: z.int().positive(),
      access: accessKey,
      /** Absent until the first start has made them. */
      keys: z
        .strictObject({
          primary: z.string(),
          backup: z.string(),
          /** SHA-384 of the policy that both have. */
          policy: hexDigest,
          /** Registers 0 to 2 of the engine that the keys admit. */
          pcrs: z.tuple([hexDigest, hexDigest, hexDigest]),
        })
        .optional(),
    }),
  ),
});

/** What the file says. */
export type AwsFile = z.infer<typeof AwsFileSchema>;

/** An access key of the emulators. */
export type AccessKey = z.infer<typeof accessKey>;

/** Root keys of one party. */
export type PartyKeys = NonNullable<AwsFile['parties'][number]['keys']>;

/** Returns the folder of the emulators' state within a state folder. */
export function awsFolder(dir: string): string {
  return join(dir, STATE_FILES.aws);
}

/** Returns the ARN of the role that the engine of a party has, or that of the administrator. */
export function roleArn(who: number | 'admin'): string {
  return `arn:aws:iam::${EMULATED.account}:role/arca-${who === 'admin' ? 'admin' : `engine-p${who}`}`;
}

/**
 * Reads the file; undefined where the folder is not run with `--aws`.
 *
 * @throws {@link KmsError} `STATE_INVALID` if it is damaged.
 */
export async function readAwsFile(dir: string): Promise<AwsFile | undefined> {
  const path = join(awsFolder(dir), 'aws.json');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
  const parsed = AwsFileSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  const cure = 'restore it from a copy, or start over with --reset';
  throw failure('STATE_INVALID', `${path} is damaged`, cure, {}, parsed.error);
}

/** Writes the file in one step, making its folder. */
export async function writeAwsFile(dir: string, file: AwsFile): Promise<void> {
  await mkdir(awsFolder(dir), { recursive: true, mode: 0o700 });
  const path = join(awsFolder(dir), 'aws.json');
  await writeFile(`${path}.new`, `${JSON.stringify(file)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Makes the contents of a first start. */
export function newAwsFile(parties: readonly number[], random: RandomSource = systemRandom): AwsFile {
  const access = (name: string): AccessKey => ({
    accessKeyId: `AKIA${name}${toHex(random(8)).toUpperCase()}`.slice(0, 20),
    secretAccessKey: Buffer.from(random(30)).toString('base64url'),
  });
  return {
    format: 'arca-aws',
    version: 1,
    backup: 'aws-kms',
    admin: access('ADMIN'),
    parties: parties.map((party) => ({ party, access: access(`ENGINE${party}`) })),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
