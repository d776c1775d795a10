/**
 * What there is of a developer quorum before anything in it runs: folders with their locks, emulators, charters and record,
 * release set, root keys, configurations.
 */
import type { MeasuredProgram } from '../../../attestation/developer/measure-program.ts';
import { systemClock } from '../../../common/clock.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import type { EmulatedAws } from '../supervise/aws/emulated-aws.ts';
import { measuredRoles, measureFiles } from '../supervise/developer-devices.ts';
import { acquireFolderLock, type FolderLock } from '../supervise/folder-lock.ts';
import { removeNodeFile } from '../supervise/node-file.ts';
import { nodePrograms } from '../supervise/node-programs.ts';
import { writeDeveloperConfig } from '../supervise/node-toml.ts';
import { prepareSocketPath } from '../supervise/socket-path.ts';
import { createStateFolder, partyFolder, requireUsableStateFolder, writeFormat } from '../supervise/state-folder.ts';
import { clearDownMark } from './down-mark.ts';
import { loadPartyConfig } from './own-settings.ts';
import type { PartyPorts } from './quorum-ports.ts';
import { ensureQuorumRelease } from './quorum-release.ts';
import { nameRootKeys, openQuorumTrust, type PartyEndpoint, type QuorumTrust, trustFolder } from './quorum-trust.ts';
import { type DeveloperQuorumOptions, PARTY_COUNTS } from './running-quorum.ts';

/** Where everything of a developer quorum listens. */
export const HOST = '127.0.0.1';

/** What parties are opened with: the emulators run, if there are to be any. */
export interface OpenOptions extends DeveloperQuorumOptions {
  readonly emulated: EmulatedAws | undefined;
}

/** Trust of a quorum, and the programs that it is in. */
export interface PreparedTrust {
  readonly trust: QuorumTrust;
  /** Engine and Core, in this order. */
  readonly measured: readonly MeasuredProgram[];
}

/** A party's folder, and what its processes are configured with. */
export interface PreparedParty {
  readonly dir: string;
  /** Path of the configuration. */
  readonly file: string;
  readonly config: NodeConfig;
}

/** Returns the numbers of so many parties. */
export const numbersTo = (last: number): readonly number[] => Array.from({ length: last }, (_, index) => index + 1);

/** Refuses a quorum of another size. @throws {@link KmsError} with exit code 2. */
export function requirePartyCount(parties: number): void {
  if (PARTY_COUNTS.some((count) => count === parties)) return;
  const cure = `give one of ${PARTY_COUNTS.join(', ')} with --parties`;
  throw usageFailure(`a quorum cannot have ${parties} parties: there must be 3t + 1`, cure);
}

/** Starts the emulators of AWS for all parties. @throws {@link KmsError} as `startEmulatedAws`. */
export async function startQuorumAws(
  dir: string,
  { parties, backup }: DeveloperQuorumOptions,
  output: Output,
): Promise<EmulatedAws> {
  // The AWS client is loaded by those who use it.
  const { startEmulatedAws } = await import('../supervise/aws/emulated-aws.ts');
  return await startEmulatedAws({ dir, parties: numbersTo(parties), trustFolder: trustFolder(dir), backup }, output);
}

/** Charters, record, release set, root keys: all there before anything starts. @throws {@link KmsError} as each of them. */
export async function prepareTrust(
  options: OpenOptions,
  dir: string,
  ports: readonly PartyPorts[],
): Promise<PreparedTrust> {
  const endpoints: PartyEndpoint[] = [];
  for (const { party, meshPort } of ports) {
    const endpoint = (await options.meshEndpoint?.(party, meshPort)) ?? `${HOST}:${meshPort}`;
    endpoints.push({ party, endpoint });
  }
  const { emulated } = options;
  const [trust, measured] = await Promise.all([
    openQuorumTrust(dir, endpoints, systemClock, { isFirstStart: emulated?.isFirstStart }),
    measureFiles(nodePrograms({ threshold: true, configFile: '' }), systemClock),
  ]);
  const numbers = endpoints.map(({ party }) => party);
  const roles = measuredRoles(measured);
  const images = new Map([...(options.enclaves ?? [])].map(([party, { pcrs }]) => [party, pcrs] as const));
  await ensureQuorumRelease(dir, numbers, trust, roles, systemClock, [...images.values()]);
  if (emulated === undefined) return { trust, measured };
  const keys = await emulated.ensureKeys(trust.charter, roles.get('engine') ?? new Map(), images);
  return { trust: { ...trust, record: await nameRootKeys(dir, trust, keys) }, measured };
}

/** Writes a party's configuration and reads it as its processes do. @throws {@link KmsError} `CONFIG_INVALID`. */
export async function configureParty(options: OpenOptions, dir: string, ports: PartyPorts): Promise<PreparedParty> {
  const own = partyFolder(dir, ports.party);
  const lies = options.lyingParties?.includes(ports.party) === true;
  const party = { number: ports.party, meshPort: ports.meshPort, lies, trustFolder: trustFolder(dir) };
  const { clientPort, publicPort, opsPort } = ports;
  const socketPath = await prepareSocketPath(own);
  const aws = options.emulated?.party(ports.party);
  const settings = { ...options, dir: own, socketPath, clientPort, publicPort, opsPort, party, aws };
  const file = await writeDeveloperConfig(settings);
  return { dir: own, file, config: loadPartyConfig(file, process.env) };
}

/** Takes a party's own folder, made if it is absent. @throws {@link KmsError} `PRECONDITION_FAILED` if it is in use. */
export async function takePartyFolder(dir: string): Promise<FolderLock> {
  const found = await requireUsableStateFolder(dir);
  await createStateFolder(dir);
  const lock = acquireFolderLock(dir);
  try {
    if (found.kind !== 'ours') await writeFormat(dir);
    await removeNodeFile(dir);
    await clearDownMark(dir);
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  }
}
