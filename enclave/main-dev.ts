/**
 * The engine of developer mode: clear vault, insecure operations, local links, and nothing that attests.
 *
 * This file and main.ts are the only ones that name trust anchor, keychain and insecure operations.
 */
import { systemClock } from '../common/clock.ts';
import { runServiceProcess } from '../common/service-process.ts';
import { openFileStorage } from '../storage/file-storage.ts';
import { operatorTrusted } from './authorization.ts';
import { startEngine } from './engine.ts';
import { unixListener } from './service/unix-listener.ts';
import { clearKeychain } from './vault/clear-keychain.ts';

await runServiceProcess('engine', true, async (config, log) => {
  const { path, prefix } = config.private_vault.storage.file;
  const engine = await startEngine({
    developerMode: true,
    insecureOperations: true,
    testParameters: true,
    keychain: clearKeychain,
    policy: operatorTrusted,
    storage: await openFileStorage({ root: path, prefix, folderMode: 0o700 }),
    listener: unixListener(config.engine.socket_path),
    treatV0ExtraDataAsEmpty: config.engine.treat_v0_extra_data_as_empty,
    clock: systemClock,
    log,
  });
  return { ready: async () => engine.facts, close: (graceMs) => engine.close(graceMs) };
});
