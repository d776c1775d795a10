/**
 * The second half of an engine's start in an enclave: the engine itself, with vsock in place of sockets, the parent's egress
 * in place of a network, and a clock that is checked for as long as it runs.
 */
import type { Nsm } from '../../attestation/attester/attester.ts';
import type { TrustAnchor } from '../../attestation/document/index.ts';
import { readNodeFiles } from '../../attestation/node/node-files.ts';
import { systemClock } from '../../common/clock.ts';
import { ENCLAVE_PORT } from '../../common/enclave-boot.ts';
import type { Service } from '../../common/service-process.ts';
import { configuredBackup } from '../backup/backup-of-config.ts';
import { startEngine } from '../engine.ts';
import type { EngineOptions } from '../engine-options.ts';
import { meshListener } from '../mesh/mesh-listener.ts';
import { configuredQuorum, enrolmentFile } from '../node/quorum-of-config.ts';
import { configuredVault } from '../vault/vault-of-config.ts';
import type { Booted } from './boot.ts';
import { watchClock } from './clock-watch.ts';

/** What the program decides: nothing here has a default. */
export interface BootedOptions
  extends Pick<EngineOptions, 'developerMode' | 'insecureOperations' | 'testParameters' | 'policy'> {
  readonly nsm: Nsm;
  /** The one root of this program. */
  readonly anchor: TrustAnchor;
  /** Authorities of AWS, PEM; those that Node ships if absent. */
  readonly ca: readonly string[] | undefined;
  /** Whether a party makes the default epoch by itself. */
  readonly makeDefaultEpoch: boolean;
}

/**
 * Starts the engine of a booted enclave; or does the job of the boot document, after which there is nothing to serve.
 *
 * @throws KmsError what `startEngine` throws, and `CONFIG_INVALID` for a charter of another root or a vault in clear.
 */
export async function startBooted(booted: Booted, options: BootedOptions): Promise<Service | undefined> {
  const { import: job } = booted.document;
  if (job === undefined) return await serveBooted(booted, options);
  // Loaded on demand: an engine that serves takes nothing over.
  const { importBooted } = await import('./import-booted.ts');
  await importBooted(booted, options, job);
  return undefined;
}

async function serveBooted(
  { config, log, parent, refresh }: Booted,
  { nsm, anchor, ca, makeDefaultEpoch, ...may }: BootedOptions,
): Promise<Service> {
  const files = await readNodeFiles(config, anchor);
  const reach = { connect: parent.connect, ca };
  const mesh = { transport: parent.transport(ENCLAVE_PORT.mesh), dial: parent.dialOut };
  const engine = await startEngine({
    ...may,
    openVault: configuredVault(config, { log, ...reach }),
    openBackup: configuredBackup(config, { log, ...reach }),
    listener: (own) => meshListener(parent.transport(ENCLAVE_PORT.core), own),
    attestation: { nsm, anchor, ...files },
    enrolment: enrolmentFile(config, refresh),
    threshold: configuredQuorum(config, log, { makeDefaultEpoch, mesh, refresh, ...reach }),
    treatV0ExtraDataAsEmpty: config.engine.treat_v0_extra_data_as_empty,
    clock: systemClock,
    log,
  });
  const clock = watchClock({ attester: nsm, anchor, clock: systemClock });
  return {
    ready: async () => engine.facts,
    failed: Promise.race([engine.failed, clock.failed]),
    close: async (graceMs) => {
      clock.stop();
      await engine.close(graceMs);
    },
  };
}
