/**
 * Security modules for the processes of a developer node: measures the programs that are about to start, sees to it
 * that the node's release set trusts exactly them, and makes each child a module of its own.
 *
 * Root, governance and release keys stay in this process. A program that was edited after it was measured gets a
 * module all the same, whose documents show a measurement that nobody trusts.
 */
import { relative } from 'node:path';
import type { DeveloperRootKey } from '../../../attestation/developer/chain.ts';
import { type MeasuredProgram, measurePrograms } from '../../../attestation/developer/measure-program.ts';
import { type SoftwareDevice, softwareDevice } from '../../../attestation/developer/software-device.ts';
import { encodeSigned } from '../../../attestation/governance/index.ts';
import { type Clock, systemClock } from '../../../common/clock.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { packagePath } from '../framework/package-files.ts';
import type { EmulatedAws } from './aws/emulated-aws.ts';
import { withRootKeys } from './aws/record-keys.ts';
import { ensureDeveloperRelease, type MeasuredRoles } from './developer-release.ts';
import { openDeveloperTrust, trustPaths, writeWhole } from './developer-trust.ts';

/** What becomes of a child's module, for the log. */
export type DeviceEvent =
  | { readonly event: 'attestation.files-changed'; readonly name: string; readonly files: readonly string[] }
  | { readonly event: 'attestation.device-failed'; readonly name: string; readonly why: string };

/** Settings of {@link prepareDevices}. */
export interface DevicesOptions {
  readonly config: NodeConfig;
  /** Main modules by the child's name. */
  readonly programs: readonly { readonly name: string; readonly file: string }[];
  readonly onEvent: (event: DeviceEvent) => void;
  readonly clock?: Clock;
  /** How long a module's signing certificate lives; three hours, as a real one does. */
  readonly leafLifeMs?: number | undefined;
  /** Where its root keys are, if it has any. */
  readonly emulated?: Pick<EmulatedAws, 'ensureKeys'> | undefined;
}

/** Makes the module of one start of a child. */
export type DeviceMaker = () => Pick<SoftwareDevice, 'serve'>;

/**
 * Prepares the modules of a node's processes.
 *
 * @returns What makes a fresh module, by the child's name.
 * @throws {@link KmsError} `STATE_INVALID` if the node's files do not belong together or a program cannot be read.
 */
export async function prepareDevices(options: DevicesOptions): Promise<ReadonlyMap<string, DeviceMaker>> {
  const { config, programs, onEvent, clock = systemClock, leafLifeMs, emulated } = options;
  const paths = trustPaths(config);
  const [trust, measured] = await Promise.all([openDeveloperTrust(paths, clock), measureFiles(programs, clock)]);
  const roles = measuredRoles(measured);
  await ensureDeveloperRelease(paths.releases, trust, roles, clock);
  if (emulated) {
    const keys = await emulated.ensureKeys(trust.charter, roles.get('engine') ?? new Map());
    const named = withRootKeys(trust.record, keys, trust.governanceKey);
    if (named !== trust.record) await writeWhole(paths.record, encodeSigned(named));
  }
  const { root, instanceId } = trust;
  return deviceMakers({ root, instanceId, programs, measured, onEvent, clock, leafLifeMs });
}

/** Measures the programs that are about to start. */
export function measureFiles(programs: DevicesOptions['programs'], clock: Clock): Promise<readonly MeasuredProgram[]> {
  const packageRoot = packagePath('.');
  const entries = programs.map(({ file }) => relative(packageRoot, file));
  return measurePrograms({ entries, nodePath: process.execPath, packageRoot, clock });
}

/** Returns what a release set has to trust for these programs to be accepted. */
export function measuredRoles(measured: readonly MeasuredProgram[]): MeasuredRoles {
  return new Map(measured.map(({ role, pcrs }) => [role, pcrs]));
}

/** What the modules of one party's processes are made from. */
export interface MakersOptions extends Omit<DevicesOptions, 'config' | 'emulated'> {
  readonly root: DeveloperRootKey;
  readonly instanceId: string;
  /** One for each program, in order. */
  readonly measured: readonly MeasuredProgram[];
}

/** Returns what makes a fresh module for each program, by its name. */
export function deviceMakers(options: MakersOptions): ReadonlyMap<string, DeviceMaker> {
  const { root, instanceId, programs, measured, onEvent, clock = systemClock, leafLifeMs } = options;
  const maker = (name: string, program: MeasuredProgram): DeviceMaker => {
    const onChanged = (files: readonly string[]): void => onEvent({ event: 'attestation.files-changed', name, files });
    const onFault = (error: unknown): void => {
      const why = error instanceof Error ? error.message : 'failed';
      onEvent({ event: 'attestation.device-failed', name, why });
    };
    const life = leafLifeMs === undefined ? {} : { leafLifeMs };
    return () => softwareDevice({ root, program, instanceId, clock, onChanged, onFault, ...life });
  };
  return new Map(
    programs.flatMap(({ name }, at) => {
      const program = measured[at];
      return program ? [[name, maker(name, program)] as const] : [];
    }),
  );
}
