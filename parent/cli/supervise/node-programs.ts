/**
 * The two programs of a node, as the supervisor starts them.
 */
import { modulePath } from '../framework/package-files.ts';
import type { ChildProgram } from './child.ts';
import type { DeviceMaker } from './developer-devices.ts';

/** Returns engine and core for a configuration file. */
export function nodePrograms(developerMode: boolean, configFile: string): readonly ChildProgram[] {
  const main = developerMode ? 'main-dev' : 'main';
  const args = ['--config', configFile];
  return [
    { name: 'engine', file: modulePath(`enclave/${main}`), args, readyEvent: 'engine.ready' },
    { name: 'core', file: modulePath(`parent/core/${main}`), args, readyEvent: 'core.ready' },
  ];
}

/** Returns the programs with the security module that each of them gets. */
export function withDevices(
  programs: readonly ChildProgram[],
  devices: ReadonlyMap<string, DeviceMaker>,
): readonly ChildProgram[] {
  return programs.map((program) => {
    const device = devices.get(program.name);
    return device ? { ...program, device } : program;
  });
}
