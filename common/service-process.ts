/**
 * One of our processes: arguments, configuration, the supervisor's pipe, signals and the line that says it is ready.
 *
 * What the process may trust is said by the program's main file; nothing here knows.
 */
import { parseArgs } from 'node:util';
import { systemClock } from './clock.ts';

import { loadConfig } from './config.ts';
import { isKmsError, KmsError } from './errors.ts';
import { createLogger, type Logger } from './log.ts';
import { NodeConfig } from './node-config.ts';
import { type SupervisorWord, watchSupervisor } from './supervisor-pipe.ts';
import { tuneV8 } from './tune-v8.ts';

/** How long calls in flight may take to finish once the process was told to stop. */
const GRACE_MS = 1_500;
/** When the process ends whatever is still going on. */
const HARD_STOP_MS = 2_000;

/** What runs in the process. */
export interface Service {
  /** Resolves, once it serves, with the facts of the line that says so. */
  ready(): Promise<object>;
  /** Resolves with the reason if it cannot go on; the process then ends with status 1. */
  readonly failed?: Promise<unknown>;
  /** Told what the supervisor says of the other processes of the node. */
  heed?(word: SupervisorWord): void;
  /** Takes no more work and lets what is under way finish for up to `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/**
 * Runs a service until a signal, or the end of the supervisor, stops it; then ends the process.
 *
 * Logs `<name>.ready`. Exits with 0 after an orderly stop, 1 if it could not start, 2 for wrong arguments or
 * configuration.
 */
export async function runServiceProcess(
  name: 'engine' | 'core',
  developerMode: boolean,
  start: (config: NodeConfig, log: Logger) => Promise<Service>,
): Promise<void> {
  await runService(name, async () => {
    const { config, log } = readConfig(name, developerMode);
    return { config, log, start: () => start(config, log) };
  });
}

/** A service that is about to start. */
export interface PreparedService {
  readonly config: NodeConfig;
  readonly log: Logger;
  /** Resolves with undefined if there is nothing to serve: it has done what it was started for. */
  start(): Promise<Service | undefined>;
}

/**
 * As {@link runServiceProcess}, for a program whose configuration comes from elsewhere.
 *
 * @param prepare - Configures the service; if it fails, the process ends with status 2.
 * @param lastWords - Told why the process is about to end with a failure.
 */
export async function runService(
  name: string,
  prepare: () => Promise<PreparedService>,
  lastWords: (error: unknown) => void = () => {},
): Promise<void> {
  const early = createLogger({ name, level: 'info' });
  const prepared = await prepare().catch((error: unknown) => fail(name, early, error, { lastWords, status: 2 }));
  const { config, log, start } = prepared;
  tuneV8({ isThreshold: config.threshold !== undefined });
  let stopping = false;
  try {
    const service = await start();
    if (service === undefined) return process.exit(0);
    const end = (exit: () => never): void => {
      if (stopping) return;
      stopping = true;
      setTimeout(() => process.exit(1), HARD_STOP_MS).unref();
      // Whatever the stop comes to, the process ends.
      void service.close(GRACE_MS).then(exit, (error: unknown) => fail(name, log, error, { lastWords }));
    };
    const stop = (reason: string): void => {
      if (!stopping) log.info({ event: `${name}.stopping`, reason });
      end(() => process.exit(0));
    };
    void service.failed?.then((reason) => end(() => fail(name, log, reason, { lastWords })));
    process.on('SIGTERM', () => stop('SIGTERM'));
    process.on('SIGINT', () => stop('SIGINT'));
    watchSupervisor(
      () => stop('the supervisor is gone'),
      (word) => service.heed?.(word),
    );
    const facts = await service.ready();
    log.info({ event: `${name}.ready`, ...facts, startMs: Math.round(systemClock.monotonicMs()) });
  } catch (error) {
    // Stopped while it was getting ready: the stop ends the process.
    if (!stopping) fail(name, log, error, { lastWords });
  }
}

function readConfig(name: string, developerMode: boolean): { config: NodeConfig; log: Logger } {
  try {
    const { values } = parseArgs({ options: { config: { type: 'string' } } });
    if (values.config === undefined) throw new TypeError('needs --config FILE');
    const config = loadConfig(NodeConfig, { file: values.config, env: process.env });
    if (config.developer_mode !== developerMode) {
      const cure = developerMode ? 'use `arca node`' : 'use `arca dev`';
      const mode = `developer_mode = ${config.developer_mode}`;
      throw new KmsError('CONFIG_INVALID', `this program is not for ${mode}: ${cure}`);
    }
    return { config, log: createLogger({ name, level: config.telemetry.log_level }) };
  } catch (error) {
    throw error instanceof TypeError ? new KmsError('CONFIG_INVALID', error.message) : error;
  }
}

interface Failing {
  readonly lastWords: (error: unknown) => void;
  readonly status?: number;
}

function fail(name: string, log: Logger, error: unknown, { lastWords, status = 1 }: Failing): never {
  lastWords(error);
  log.fatal({ event: `${name}.failed`, err: error });
  // For people who start the program by hand; the supervisor reads the log line.
  process.stderr.write(`${name}: ${isKmsError(error) ? error.message : 'failed'}\n`);
  process.exit(status);
}
