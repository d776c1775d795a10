/**
 * The engine as a process: arguments, the supervisor's pipe, signals and the line that says it is ready.
 *
 * main.ts and main-dev.ts say what may be trusted; nothing below them knows.
 */
import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { systemClock } from '../common/clock.ts';
import { loadConfig } from '../common/config.ts';
import { isKmsError, KmsError } from '../common/errors.ts';
import { createLogger, type Logger } from '../common/log.ts';
import { NodeConfig } from '../common/node-config.ts';
import { tuneCollector } from './collector.ts';
import type { Engine } from './engine.ts';

/** Descriptor of the pipe whose other end the supervisor holds. */
const SUPERVISOR_FD = 3;
/** How long calls in flight may take to finish once the engine was told to stop. */
const GRACE_MS = 1_500;
/** When the process ends whatever is still going on. */
const HARD_STOP_MS = 2_000;

/** Makes the engine out of its configuration. */
export type EngineFactory = (config: NodeConfig, log: Logger) => Promise<Engine>;

/**
 * Runs the engine until a signal, or the end of the supervisor, stops it; then ends the process.
 *
 * Exits with 0 after an orderly stop, 1 if it could not start, 2 for wrong arguments.
 */
export async function runEngineProcess(start: EngineFactory): Promise<void> {
  tuneCollector();
  const { log, config } = readConfig();
  try {
    const engine = await start(config, log);
    let stopping = false;
    const stop = (reason: string) => {
      if (stopping) return;
      stopping = true;
      log.info({ event: 'engine.stopping', reason });
      setTimeout(() => process.exit(1), HARD_STOP_MS).unref();
      // Whatever the stop comes to, the process ends.
      void engine.close(GRACE_MS).then(
        () => process.exit(0),
        (error: unknown) => fail(log, error),
      );
    };
    process.on('SIGTERM', () => stop('SIGTERM'));
    process.on('SIGINT', () => stop('SIGINT'));
    watchSupervisor(() => stop('the supervisor is gone'));
    log.info({ event: 'engine.ready', ...engine.facts, startMs: Math.round(systemClock.monotonicMs()) });
  } catch (error) {
    fail(log, error);
  }
}

function readConfig(): { log: Logger; config: NodeConfig } {
  const early = createLogger({ name: 'engine', level: 'info' });
  try {
    const { values } = parseArgs({ options: { config: { type: 'string' } } });
    if (values.config === undefined) throw new TypeError('needs --config FILE');
    const config = loadConfig(NodeConfig, { file: values.config, env: process.env });
    return { config, log: createLogger({ name: 'engine', level: config.telemetry.log_level }) };
  } catch (error) {
    return fail(early, error instanceof TypeError ? new KmsError('CONFIG_INVALID', error.message) : error, 2);
  }
}

function fail(log: Logger, error: unknown, status = 1): never {
  log.fatal({ event: 'engine.failed', err: error });
  // For people who start the engine by hand; the supervisor reads the log line.
  process.stderr.write(`engine: ${isKmsError(error) ? error.message : 'failed'}\n`);
  process.exit(status);
}

/** Calls `onGone` when the other end of the supervisor's pipe closes. Without such a pipe nobody is watched. */
function watchSupervisor(onGone: () => void): void {
  const inherited = fstatSync(SUPERVISOR_FD);
  // Started by hand, descriptor 3 is the event loop's own and neither a pipe nor a socket.
  if (!inherited.isFIFO() && !inherited.isSocket()) return;
  const pipe = new Socket({ fd: SUPERVISOR_FD, readable: true, writable: false });
  pipe.on('close', onGone);
  pipe.on('error', () => pipe.destroy());
  pipe.resume();
}
