/**
 * The two programs of a node, as the supervisor starts them.
 */
import { modulePath } from '../framework/package-files.ts';
import type { ChildProgram } from './child.ts';
import type { DeviceMaker } from './developer-devices.ts';

/**
 * The C library keeps freed buffers for every thread; one arena that is trimmed saves a party of a quorum 50 MB a pair of
 * processes under load. A centralized node computes on all threads at once and would wait for the one arena.
 */
const PARTY_ENV = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '4194304' };

/** What decides how a node's programs are run. */
export interface ProgramsOptions {
  readonly developerMode: boolean;
  /** The node is one party of a quorum. */
  readonly threshold: boolean;
  readonly configFile: string;
}

/** Returns engine and core for a configuration file. */
export function nodePrograms({ developerMode, threshold, configFile }: ProgramsOptions): readonly ChildProgram[] {
  const main = developerMode ? 'main-dev' : 'main';
  const common = { args: ['--config', configFile], env: threshold ? PARTY_ENV : undefined };
  return [
    { ...common, name: 'engine', file: modulePath(`enclave/${main}`), readyEvent: 'engine.ready' },
    { ...common, name: 'core', file: modulePath(`parent/core/${main}`), readyEvent: 'core.ready' },
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
