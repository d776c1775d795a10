/**
 * The Core as a process: arguments, the supervisor's pipe, signals and the line that says it is ready.
 *
 * main.ts and main-dev.ts say in which mode; nothing below them decides it.
 */
import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { systemClock } from '../../common/clock.ts';
import { loadConfig } from '../../common/config.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { createLogger, type Logger } from '../../common/log.ts';
import { NodeConfig } from '../../common/node-config.ts';
import { runCore } from './core.ts';

/** Descriptor of the pipe whose other end the supervisor holds. */
const SUPERVISOR_FD = 3;
/** How long calls under way may take to finish once the Core was told to stop. */
const GRACE_MS = 1_500;
/** When the process ends whatever is still going on. */
const HARD_STOP_MS = 2_000;

/**
 * Runs the Core until a signal, or the end of the supervisor, stops it; then ends the process.
 *
 * Exits with 0 after an orderly stop, 1 if it could not start, 2 for wrong arguments or configuration.
 */
export async function runCoreProcess({ developerMode }: { readonly developerMode: boolean }): Promise<void> {
  const { config, log } = readConfig(developerMode);
  try {
    const core = await runCore({ config, developerMode, log, metricsLabels: process.env.KMS_METRICS_LABELS });
    let stopping = false;
    const stop = (reason: string): void => {
      if (stopping) return;
      stopping = true;
      log.info({ event: 'core.stopping', reason });
      setTimeout(() => process.exit(1), HARD_STOP_MS).unref();
      // Whatever the stop comes to, the process ends.
      void core.close(GRACE_MS).then(
        () => process.exit(0),
        (error: unknown) => fail(log, error),
      );
    };
    process.on('SIGTERM', () => stop('SIGTERM'));
    process.on('SIGINT', () => stop('SIGINT'));
    watchSupervisor(() => stop('the supervisor is gone'));
    const { clientUrl, publicUrl, opsUrl } = core;
    log.info({ event: 'core.listening', clientUrl, publicUrl, opsUrl });
    await core.ready;
    const reasons = core.reasons();
    const health = reasons.length === 0 ? {} : { unhealthy: reasons };
    log.info({
      event: 'core.ready',
      clientUrl,
      publicUrl,
      opsUrl,
      ...health,
      startMs: Math.round(systemClock.monotonicMs()),
    });
  } catch (error) {
    if (isKmsError(error, 'CANCELLED')) return; // stopped while it waited for the engine
    fail(log, error);
  }
}

function readConfig(developerMode: boolean): { config: NodeConfig; log: Logger } {
  const early = createLogger({ name: 'core', level: 'info' });
  try {
    const { values } = parseArgs({ options: { config: { type: 'string' } } });
    if (values.config === undefined) throw new TypeError('needs --config FILE');
    const config = loadConfig(NodeConfig, { file: values.config, env: process.env });
    if (config.developer_mode !== developerMode) {
      const cure = developerMode ? 'use `arca node`' : 'use `arca dev`';
      const mode = `developer_mode = ${config.developer_mode}`;
      throw new KmsError('CONFIG_INVALID', `this program is not for ${mode}: ${cure}`);
    }
    return { config, log: createLogger({ name: 'core', level: config.telemetry.log_level }) };
  } catch (error) {
    return fail(early, error instanceof TypeError ? new KmsError('CONFIG_INVALID', error.message) : error, 2);
  }
}

function fail(log: Logger, error: unknown, status = 1): never {
  log.fatal({ event: 'core.failed', err: error });
  // For people who start the Core by hand; the supervisor reads the log line.
  process.stderr.write(`core: ${isKmsError(error) ? error.message : 'failed'}\n`);
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
