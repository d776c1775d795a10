/**
 * The engine of developer mode: developer root, a clear vault unless a keychain is configured, insecure operations, a
 * governance key that approves by itself. All else is as in production: it is attested by the supervisor's security module
 * and speaks over the mesh. With `[threshold]` it is one party of a quorum.
 *
 * With `--import` it does one import into stopped nodes, with `--drill` it rehearses a restore; it then serves nobody.
 *
 * This file and the other mains are the only ones that name trust anchor, keychain and insecure operations.
 */
import { openInheritedNsm } from '../attestation/developer/nsm-link.ts';
import { unixTransport } from '../attestation/mesh/transport-unix.ts';
import { readKeptHead } from '../attestation/node/kept-head.ts';
import {
  readDeveloperAnchor,
  readGovernanceKey,
  readNodeFiles,
  writeNodeFile,
} from '../attestation/node/node-files.ts';
import { systemClock } from '../common/clock.ts';
import type { Logger } from '../common/log.ts';
import type { NodeConfig } from '../common/node-config.ts';
import { fileVault } from '../common/node-config-vaults.ts';
import { runServiceProcess, type Service } from '../common/service-process.ts';
import { openFileStorage } from '../storage/file-storage.ts';
import { operatorTrusted } from './authorization.ts';
import { developerQuorum } from './developer/developer-quorum.ts';
import { startEngine } from './engine.ts';
import type { EngineOptions } from './engine-options.ts';
import type { ImportProgram } from './import/attested-import.ts';
import { meshListener } from './mesh/mesh-listener.ts';
import { clearKeyring } from './seal/clear-keyring.ts';
import { clearKeeper } from './vault/clear-keychain.ts';
import { type OpenVault, unsealedVault } from './vault/open-vault.ts';

const program: ImportProgram = {
  clearKeeper,
  readAnchor: readDeveloperAnchor,
  openNsm: openInheritedNsm,
  backupOf: async (config, log) => (await sealedVaults(config, log)).openBackup,
};
if (process.argv[2] === '--import') {
  const { runImport } = await import('./import/import-process.ts');
  await runImport(program);
} else if (process.argv[2] === '--drill') {
  const { runDrill } = await import('./drill/drill-process.ts');
  await runDrill(program, clearKeyring());
} else {
  await runServiceProcess('engine', true, serveNode);
}

async function serveNode(config: NodeConfig, log: Logger): Promise<Service> {
  const anchor = await readDeveloperAnchor(config);
  const key = await readGovernanceKey(config);
  const { record_path: record, releases_path: releases } = config.attestation;
  const keep = (kind: 'record' | 'release-set', signed: Uint8Array): Promise<void> =>
    writeNodeFile(kind === 'record' ? record : releases, signed);
  const engine = await startEngine({
    developerMode: true,
    insecureOperations: true,
    testParameters: true,
    policy: operatorTrusted,
    ...(config.private_vault.keychain ? await sealedVaults(config, log) : { openVault: await clearVault(config) }),
    keptHead: await readKeptHead(config),
    listener: (mesh) => meshListener(unixTransport(config.engine.socket_path), mesh),
    attestation: {
      nsm: openInheritedNsm(),
      anchor,
      ...(await readNodeFiles(config, anchor)),
      localGovernance: key && { key, keep },
    },
    threshold: developerQuorum(config, log),
    treatV0ExtraDataAsEmpty: config.engine.treat_v0_extra_data_as_empty,
    clock: systemClock,
    log,
  });
  return { ready: async () => engine.facts, failed: engine.failed, close: (graceMs) => engine.close(graceMs) };
}

/** Loaded on demand: a node in clear needs no client of AWS, and should not have to hold one. */
async function sealedVaults(config: NodeConfig, log: Logger): Promise<Pick<EngineOptions, 'openVault' | 'openBackup'>> {
  const { configuredVault } = await import('./vault/vault-of-config.ts');
  const { configuredBackup } = await import('./backup/backup-of-config.ts');
  const openVault = configuredVault(config, { log });
  return { openVault, openBackup: configuredBackup(config, { log, clear: clearKeyring() }) };
}

async function clearVault({ private_vault: section }: NodeConfig): Promise<OpenVault> {
  const { path, prefix } = fileVault(section, 'private_vault');
  return unsealedVault(clearKeeper(await openFileStorage({ root: path, prefix, folderMode: 0o700 })));
}
