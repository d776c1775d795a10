/**
 * The developer engine behind a bare Unix socket, to measure what the mesh costs. Attests nothing to anybody; exists
 * for the benchmark alone.
 */
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { verifyReleaseSet } from '../../attestation/governance/index.ts';
import { readNodeFiles } from '../../attestation/node/node-files.ts';
import { systemClock } from '../../common/clock.ts';
import { fileVault } from '../../common/node-config-vaults.ts';
import { runServiceProcess } from '../../common/service-process.ts';
import { operatorTrusted } from '../../enclave/authorization.ts';
import { startEngine } from '../../enclave/engine.ts';
import type { EngineListener } from '../../enclave/service/engine-listener.ts';
import { clearKeeper } from '../../enclave/vault/clear-keychain.ts';
import { unsealedVault } from '../../enclave/vault/open-vault.ts';
import { openDeveloperTrust, trustPaths } from '../../parent/cli/supervise/developer-trust.ts';
import { openFileStorage } from '../../storage/file-storage.ts';
import { present } from '../helpers/present.ts';
import { startTestAttester } from '../helpers/software-nsm.ts';

function plainListener(path: string): EngineListener {
  const server = createServer();
  return {
    listen: (onLink) => {
      rmSync(path, { force: true });
      server.on('connection', (stream) => onLink({ stream, peer: 'the benchmark' }));
      return new Promise((resolve) => server.listen(path, resolve));
    },
    close: async () => void server.close(),
  };
}

await runServiceProcess('engine', true, async (config, log) => {
  const { path, prefix } = fileVault(config.private_vault, 'private_vault');
  const trust = await openDeveloperTrust(trustPaths(config));
  const files = await readNodeFiles(config, trust.root.anchor);
  const { entries } = verifyReleaseSet(present(files.releases), trust.record.body).body;
  const { pcrs } = present(entries.find(({ role }) => role === 'engine'));
  const { nsm } = await startTestAttester({ role: 'engine', root: trust.root, instanceId: trust.instanceId, pcrs });
  const engine = await startEngine({
    developerMode: true,
    insecureOperations: true,
    testParameters: true,
    policy: operatorTrusted,
    openVault: unsealedVault(clearKeeper(await openFileStorage({ root: path, prefix, folderMode: 0o700 }))),
    listener: () => plainListener(config.engine.socket_path),
    attestation: { ...files, nsm, anchor: trust.root.anchor },
    treatV0ExtraDataAsEmpty: false,
    clock: systemClock,
    log,
  });
  return { ready: async () => engine.facts, close: (graceMs) => engine.close(graceMs) };
});
