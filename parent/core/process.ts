/**
 * The Core as the service of a process. main.ts and main-dev.ts say in which mode; nothing below them decides it.
 */
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import type { Service } from '../../common/service-process.ts';
import { runCore } from './core.ts';

/** Returns what starts a Core in the given mode. It listens at once and is ready when the engine has been heard. */
export const startCoreService =
  (developerMode: boolean) =>
  async (config: NodeConfig, log: Logger): Promise<Service> => {
    const core = await runCore({ config, developerMode, log, metricsLabels: process.env.KMS_METRICS_LABELS });
    const { clientUrl, publicUrl, opsUrl } = core;
    log.info({ event: 'core.listening', clientUrl, publicUrl, opsUrl });
    return {
      ready: async () => {
        await core.ready;
        const reasons = core.reasons();
        return { clientUrl, publicUrl, opsUrl, ...(reasons.length === 0 ? {} : { unhealthy: reasons }) };
      },
      close: (graceMs) => core.close(graceMs),
    };
  };
