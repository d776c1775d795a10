/**
 * The security module of a program that does one job for a developer node, attested under the node's root as its engine is:
 * root keys that admit the engine admit it.
 */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { openDeveloperRoot } from '../../../attestation/developer/developer-root.ts';
import type { MeasuredProgram } from '../../../attestation/developer/measure-program.ts';
import { systemClock } from '../../../common/clock.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import type { Output } from '../framework/output.ts';
import { modulePath } from '../framework/package-files.ts';
import { type DeviceMaker, deviceMakers, measureFiles } from './developer-devices.ts';
import { trustPaths } from './developer-trust.ts';
import { ENGINE_JOB_PROGRAM } from './engine-job.ts';

const NAME = 'job';
const PROGRAMS = [{ name: NAME, file: modulePath(ENGINE_JOB_PROGRAM) }];

/** Measures the program. */
export function measureJobProgram(): Promise<readonly MeasuredProgram[]> {
  return measureFiles(PROGRAMS, systemClock);
}

/**
 * Returns what makes its module.
 *
 * @param file - Configuration of the node.
 * @param measured - What {@link measureJobProgram} said.
 */
export async function jobDevice(
  file: string,
  measured: readonly MeasuredProgram[],
  output: Output,
): Promise<DeviceMaker | undefined> {
  const trustFolder = dirname(trustPaths(loadNodeConfig(file, {})).root);
  const makers = deviceMakers({
    root: await openDeveloperRoot(trustFolder, { clock: systemClock }),
    instanceId: `i-${createHash('sha256').update(file).digest('hex').slice(0, 17)}`,
    programs: PROGRAMS,
    measured,
    onEvent: tellModuleEvents(output),
    clock: systemClock,
  });
  return makers.get(NAME);
}

/** Tells what becomes of the program's security module. */
export const tellModuleEvents =
  (output: Output) =>
  ({ event }: { readonly event: string }): void =>
    output.warn(`the program's security module: ${event}`);
