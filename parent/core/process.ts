/**
 * The Core as the service of a process. main.ts and main-dev.ts say in which mode, with which attester and under which
 * root; nothing below them decides it.
 */
import type { Attester } from '../../attestation/attester/attester.ts';
import type { TrustAnchor } from '../../attestation/document/index.ts';
import { readNodeFiles } from '../../attestation/node/node-files.ts';
import { systemClock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import type { Service } from '../../common/service-process.ts';
import { useBatchScheduling } from '../../native/engine/public.ts';
import { runCore } from './core.ts';
import { openCoreMesh } from './mesh/core-mesh.ts';

/** What a program decides about its Core. */
export interface CoreProgram {
  readonly developerMode: boolean;
  /** The one root of the program. */
  anchor(config: NodeConfig): TrustAnchor | Promise<TrustAnchor>;
  attester(): Attester;
}

/** Returns what starts a Core. It listens at once and is ready when the engine has been heard. */
export const startCoreService =
  ({ developerMode, anchor: anchorOf, attester }: CoreProgram) =>
  async (config: NodeConfig, log: Logger): Promise<Service> => {
    useBatchScheduling();
    const anchor = await anchorOf(config);
    const attestation = { ...(await readNodeFiles(config, anchor)), attester: attester(), anchor };
    const mesh = await openCoreMesh({ config, attestation, clock: systemClock, log });
    let trouble: string | undefined;
    const core = await runCore({
      config,
      developerMode,
      log,
      mesh,
      engineTrouble: () => trouble,
      metricsLabels: process.env.KMS_METRICS_LABELS,
    });
    const { publicUrl, opsUrl } = core;
    // The port for clients of a threshold node is not open yet.
    log.info({
      event: 'core.listening',
      ...(config.threshold ? {} : { clientUrl: core.clientUrl }),
      publicUrl,
      opsUrl,
    });
    return {
      ready: async () => {
        await core.ready;
        const reasons = core.reasons();
        return {
          clientUrl: core.clientUrl,
          publicUrl,
          opsUrl,
          ...(reasons.length === 0 ? {} : { unhealthy: reasons }),
        };
      },
      // The only other process of a node is the engine, or the enclave that it runs in.
      heed: (word) => {
        trouble = word.trouble;
      },
      close: (graceMs) => core.close(graceMs),
    };
  };
