/**
 * The engine of a production image: the AWS Nitro root, the security module of the enclave, vaults sealed under AWS KMS, no
 * insecure operation.
 *
 * This file, main-dev.ts and main-import-dev.ts are the only ones that name trust anchor, keychain and insecure operations.
 * The keychain here is AWS KMS and no other: a configuration without it is refused, and nothing is read or written in clear.
 */
import { openNsm } from '../attestation/attester/nsm.ts';
import { AWS_NITRO_ROOT } from '../attestation/document/index.ts';
import { unixTransport } from '../attestation/mesh/transport-unix.ts';
import { readNodeFiles } from '../attestation/node/node-files.ts';
import { systemClock } from '../common/clock.ts';
import { runServiceProcess } from '../common/service-process.ts';
import { openNsmDevice } from '../native/nitro/index.ts';
import { operatorTrusted } from './authorization.ts';
import { configuredBackup } from './backup/backup-of-config.ts';
import { startEngine } from './engine.ts';
import { meshListener } from './mesh/mesh-listener.ts';
import { configuredQuorum } from './node/quorum-of-config.ts';
import { configuredVault } from './vault/vault-of-config.ts';

await runServiceProcess('engine', false, async (config, log) => {
  const files = await readNodeFiles(config, AWS_NITRO_ROOT);
  const openVault = configuredVault(config, { log });
  const engine = await startEngine({
    developerMode: false,
    insecureOperations: false,
    testParameters: false,
    policy: operatorTrusted,
    openVault,
    openBackup: configuredBackup(config, { log }),
    listener: (mesh) => meshListener(unixTransport(config.engine.socket_path), mesh),
    attestation: { nsm: openNsm(openNsmDevice(), 'nsm'), anchor: AWS_NITRO_ROOT, ...files },
    threshold: configuredQuorum(config, log, { makeDefaultEpoch: false }),
    treatV0ExtraDataAsEmpty: config.engine.treat_v0_extra_data_as_empty,
    clock: systemClock,
    log,
  });
  return { ready: async () => engine.facts, failed: engine.failed, close: (graceMs) => engine.close(graceMs) };
});
