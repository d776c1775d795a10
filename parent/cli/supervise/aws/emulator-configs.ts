/**
 * The configuration files of the two emulators of a state folder, written at each start.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AwsFile, awsFolder, BUCKETS, EMULATED, roleArn } from './aws-file.ts';

/** What an emulator's program is given. */
export interface EmulatorConfigs {
  /** Paths. */
  readonly s3: string;
  readonly kms: string;
}

/** What the files are made of. */
export interface ConfigParts {
  readonly dir: string;
  readonly file: AwsFile;
  readonly ports: { readonly s3: number; readonly kms: number };
  /** PEM file of the root under which the engines attest. */
  readonly rootPath: string;
}

/** Everything, of the account's own people: key policies decide about keys that have one of ours. */
const ADMIN_POLICY = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 'kms:*', Resource: '*' }],
};

/** What was published is for everybody; what waits for its generation is not published yet. */
const READERS_POLICY = {
  Version: '2012-10-17',
  Statement: [
    {
      Effect: 'Allow',
      Principal: '*',
      Action: 's3:GetObject',
      Resource: `arn:aws:s3:::${BUCKETS.public}/PUB*`,
    },
    {
      Effect: 'Deny',
      Principal: '*',
      Action: 's3:GetObject',
      Resource: `arn:aws:s3:::${BUCKETS.public}/*/Staged/*`,
    },
  ],
};

/** Writes both files. */
export async function writeEmulatorConfigs({ dir, file, ports, rootPath }: ConfigParts): Promise<EmulatorConfigs> {
  const { region, account } = EMULATED;
  const folder = awsFolder(dir);
  const paths = { s3: join(folder, 's3.json'), kms: join(folder, 'kms.json') };
  await write(paths.s3, {
    region,
    port: ports.s3,
    state: 'buckets',
    faults: 's3-faults.json',
    credentials: file.parties.map(({ access }) => access),
    buckets: [
      { name: BUCKETS.public, policy: READERS_POLICY },
      { name: BUCKETS.private, versioning: true },
      { name: BUCKETS.backup, versioning: true },
    ],
  });
  await write(paths.kms, {
    region,
    account,
    port: ports.kms,
    root: rootPath,
    state: 'kms-keys.json',
    faults: 'kms-faults.json',
    identities: [
      { ...file.admin, arn: roleArn('admin'), policies: [ADMIN_POLICY] },
      ...file.parties.map(({ party, access }) => ({ ...access, arn: roleArn(party) })),
    ],
  });
  return paths;
}

async function write(path: string, value: object): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
}
