/**
 * S3 and AWS KMS of a state folder that is run with `--aws`: both emulators as children of this process, on loopback, and what the
 * configuration of a party needs to use them. Their state stands in `aws/` of the folder.
 */
import { join } from 'node:path';
import { DEVELOPER_ROOT_FILES, openDeveloperRoot } from '../../../../attestation/developer/developer-root.ts';
import type { Charter } from '../../../../attestation/governance/index.ts';
import { type Clock, systemClock } from '../../../../common/clock.ts';
import { failure } from '../../framework/failure.ts';
import type { Output } from '../../framework/output.ts';
import { modulePath } from '../../framework/package-files.ts';
import { openNodeLog } from '../node-log.ts';
import { choosePorts } from '../ports.ts';
import { reporter } from '../reporter.ts';
import { supervise } from '../supervisor.ts';
import {
  type AccessKey,
  type AwsFile,
  awsFolder,
  type BackupKeychainName,
  newAwsFile,
  type PartyKeys,
  readAwsFile,
  roleArn,
  writeAwsFile,
} from './aws-file.ts';
import { writeEmulatorConfigs } from './emulator-configs.ts';
import { ensureRootKeys } from './root-keys.ts';

/** What the emulators of a folder are started with. */
export interface EmulatedAwsOptions {
  /** State folder, which the caller has locked. */
  readonly dir: string;
  /** Numbers of the parties. */
  readonly parties: readonly number[];
  /** Folder of the developer root, under which the engines attest; made if it is not there. */
  readonly trustFolder: string;
  /** What seals backups from now on; as before if absent. */
  readonly backup?: BackupKeychainName | undefined;
  readonly clock?: Clock;
}

/** How the processes of one party call the emulators. */
export interface PartyAws {
  readonly access: AccessKey;
  /** Role that the access key stands for, as key policies name it. */
  readonly role: string;
  readonly s3Url: string;
  readonly kmsUrl: string;
  readonly backup: BackupKeychainName;
}

/** Emulators that run. */
export interface EmulatedAws {
  readonly s3Url: string;
  readonly kmsUrl: string;
  /** Whether nothing has been stored yet: no party has had keys. */
  readonly isFirstStart: boolean;
  party(number: number): PartyAws;
  /**
   * Makes the root keys that are missing, for engines of these measurements.
   *
   * @param ofParty - Measurements of the parties whose engine is another one.
   * @returns The keys of each party, by its number.
   * @throws {@link KmsError} `PRECONDITION_FAILED` if the keys that are there admit another engine.
   */
  ensureKeys(
    charter: Charter,
    enginePcrs: ReadonlyMap<number, Uint8Array>,
    ofParty?: ReadonlyMap<number, ReadonlyMap<number, Uint8Array>>,
  ): Promise<ReadonlyMap<number, PartyKeys>>;
  pids(): Readonly<Record<string, number>>;
  stop(): Promise<void>;
  kill(): void;
}

const HOST = '127.0.0.1';

/**
 * Starts both emulators and returns when they listen.
 *
 * @throws {@link KmsError} `STATE_INVALID` for state that is damaged or of other parties; `UNAVAILABLE` if one does not start.
 */
export async function startEmulatedAws(options: EmulatedAwsOptions, output: Output): Promise<EmulatedAws> {
  const { dir, parties, trustFolder, backup, clock = systemClock } = options;
  await openDeveloperRoot(trustFolder, { clock });
  let file = (await readAwsFile(dir)) ?? newAwsFile(parties);
  requireParties(file, parties, dir);
  const isFirstStart = file.parties.every(({ keys }) => keys === undefined);
  const ports = await chooseEmulatorPorts(file);
  file = { ...file, ports, backup: backup ?? file.backup };
  await writeAwsFile(dir, file);
  const rootPath = join(trustFolder, DEVELOPER_ROOT_FILES.certificate);
  const configs = await writeEmulatorConfigs({ dir, file, ports, rootPath });
  const log = await openNodeLog(awsFolder(dir));
  const tell = reporter(output);
  let isUp = false;
  const supervisor = supervise(
    [
      { name: 's3', file: modulePath('emulators/s3/main'), args: ['--config', configs.s3], readyEvent: 's3.ready' },
      {
        name: 'kms',
        file: modulePath('emulators/aws-kms/main'),
        args: ['--config', configs.kms],
        readyEvent: 'kms.ready',
      },
    ],
    {
      clock,
      onEvent: (event) => {
        if (event.kind === 'line') log.write(event.line);
        else if (isUp) tell(event);
      },
    },
  );
  const stop = async (): Promise<void> => {
    isUp = false;
    await supervisor.stop();
    await log.close();
  };
  try {
    await supervisor.ready;
  } catch (error) {
    await log.close();
    throw error;
  }
  isUp = true;
  const [s3Url, kmsUrl] = [`http://${HOST}:${ports.s3}`, `http://${HOST}:${ports.kms}`];
  let stopping: Promise<void> | undefined;
  return {
    s3Url,
    kmsUrl,
    isFirstStart,
    party: (number) => {
      const { access } = memberOf(file, number);
      return { access, role: roleArn(number), s3Url, kmsUrl, backup: file.backup };
    },
    ensureKeys: async (charter, enginePcrs, ofParty) => {
      file = await ensureRootKeys({ kmsUrl, file, charter, enginePcrs, ofParty });
      await writeAwsFile(dir, file);
      return new Map(file.parties.flatMap(({ party, keys }) => (keys ? [[party, keys] as const] : [])));
    },
    pids: supervisor.pids,
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
    kill: supervisor.kill,
  };
}

async function chooseEmulatorPorts({ ports }: AwsFile): Promise<{ readonly s3: number; readonly kms: number }> {
  const any = { option: '--reset', address: HOST, fallback: true };
  const [s3 = 0, kms = 0] = await choosePorts([
    { ...any, purpose: 'emulated S3', port: ports?.s3 ?? 0 },
    { ...any, purpose: 'emulated AWS KMS', port: ports?.kms ?? 0 },
  ]);
  return { s3, kms };
}

function requireParties(file: AwsFile, parties: readonly number[], dir: string): void {
  const held = file.parties.map(({ party }) => party);
  if (held.join() === parties.join()) return;
  const what = `${awsFolder(dir)} belongs to the parties ${held.join(', ')}, not ${parties.join(', ')}`;
  throw failure('STATE_INVALID', what, 'choose another folder with --dir, or start over with --reset');
}

function memberOf({ parties }: AwsFile, number: number): AwsFile['parties'][number] {
  const found = parties.find(({ party }) => party === number);
  if (found) return found;
  throw failure('INTERNAL', `the emulated AWS knows no party ${number}`, 'report it');
}
