/**
 * The program: `node vsock-proxy/main.ts --config FILE`. SIGHUP reads the file again; SIGTERM, SIGINT and the end of its
 * supervisor stop it.
 */
import { parseArgs } from 'node:util';
import { systemClock } from '../common/clock.ts';
import { loadConfig } from '../common/config.ts';
import { isKmsError, KmsError } from '../common/errors.ts';
import { createLogger } from '../common/log.ts';
import { createRegistry, parseMetricsLabels } from '../common/metrics.ts';
import { watchSupervisor } from '../common/supervisor-pipe.ts';
import { ProxyConfig } from './config.ts';
import { serveOps } from './ops.ts';
import { startProxy } from './proxy.ts';

let log = createLogger({ name: 'proxy', level: 'info' });

function fail(error: unknown, status: number): never {
  log.fatal({ event: 'proxy.failed', err: error });
  process.stderr.write(`proxy: ${isKmsError(error) ? error.message : 'failed'}\n`);
  process.exit(status);
}

function configFile(): string {
  try {
    const { values } = parseArgs({ options: { config: { type: 'string' } } });
    if (values.config !== undefined) return values.config;
  } catch {
    // Said below: there is one way to start it.
  }
  return fail(new KmsError('CONFIG_INVALID', 'needs --config FILE and nothing else'), 2);
}

const file = configFile();
// The environment changes nothing: who may be reached stands in one place.
const read = (): ProxyConfig => loadConfig(ProxyConfig, { file, env: {} });

function firstConfig(): ProxyConfig {
  try {
    return read();
  } catch (error) {
    return fail(error, 2);
  }
}

// Unix sockets are for this user alone from their first moment.
process.umask(0o077);
let config = firstConfig();
log = createLogger({ name: 'proxy', level: config.telemetry.log_level });
const registry = createRegistry(parseMetricsLabels(process.env.KMS_METRICS_LABELS));

try {
  const proxy = await startProxy(config, { registry, clock: systemClock, log });
  const address = config.telemetry.metrics_listen;
  const ops = address === undefined ? undefined : await serveOps(address, registry);
  let stopping = false;

  const reload = async (): Promise<void> => {
    try {
      config = await proxy.reload(read);
      log.level = config.telemetry.log_level;
      log.info({ event: 'proxy.reloaded', routes: config.route.length });
    } catch (error) {
      // The old configuration stays in force.
      log.error({ event: 'proxy.reload.refused', err: error });
    }
  };
  let reloading: Promise<void> = Promise.resolve();
  process.on('SIGHUP', () => {
    reloading = reloading.then(reload);
  });

  const stop = (reason: string): void => {
    if (stopping) return;
    stopping = true;
    log.info({ event: 'proxy.stopping', reason, connections: proxy.size });
    ops?.close();
    void proxy.close(config.drain_secs * 1000).finally(() => process.exit(0));
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  watchSupervisor(() => stop('the supervisor is gone'));
  log.info({
    event: 'proxy.ready',
    routes: config.route.map(({ name }) => name).join(' '),
    ...(ops ? { metricsPort: ops.port } : {}),
  });
} catch (error) {
  fail(error, 1);
}
