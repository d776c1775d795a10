/**
 * The programs of a node, as the supervisor starts them.
 */
import { availableParallelism } from 'node:os';
import { modulePath } from '../framework/package-files.ts';
import type { ChildProgram } from './child.ts';
import type { DeviceMaker } from './developer-devices.ts';

/**
 * The C library keeps freed buffers for every thread; one arena that is trimmed saves a party of a quorum 50 MB a pair of
 * processes under load. A centralized node computes on all threads at once and would wait for the one arena.
 */
const PARTY_ENV = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '4194304' };

/**
 * Each call leaves buffers behind, held by tiny objects: a small young generation finds them dead sooner, which saves
 * resident memory at full load and costs no throughput.
 */
const SMALL_YOUNG = ['--max-semi-space-size=4'];

/** An engine frees its large buffers by itself; what is left of a call is so little that half the size does, 15 MB less. */
const PARTY_ENGINE_YOUNG = ['--max-semi-space-size=2'];

/** As many threads as cores: more only take turns, and push each other's keys out of the caches. */
const KERNEL_THREADS = { UV_THREADPOOL_SIZE: String(Math.max(2, availableParallelism())) };

/** What decides how a node's programs are run. */
export interface ProgramsOptions {
  /** The node is one party of a quorum. */
  readonly threshold: boolean;
  readonly configFile: string;
}

/** Returns engine and core of developer mode for a configuration file. */
export function nodePrograms(options: ProgramsOptions): readonly ChildProgram[] {
  const { threshold, configFile } = options;
  const engine: ChildProgram = {
    name: 'engine',
    file: modulePath('enclave/main-dev'),
    args: ['--config', configFile],
    v8Flags: threshold ? PARTY_ENGINE_YOUNG : SMALL_YOUNG,
    env: { ...(threshold ? PARTY_ENV : {}), ...KERNEL_THREADS },
    readyEvent: 'engine.ready',
  };
  return [engine, coreProgram({ ...options, developerMode: true })];
}

/** Returns the core for a configuration file, whatever its engine runs in. */
export function coreProgram(options: ProgramsOptions & { readonly developerMode: boolean }): ChildProgram {
  return {
    name: 'core',
    file: modulePath(`parent/core/${options.developerMode ? 'main-dev' : 'main'}`),
    args: ['--config', options.configFile],
    v8Flags: SMALL_YOUNG,
    env: options.threshold ? PARTY_ENV : {},
    readyEvent: 'core.ready',
    hears: true,
  };
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
