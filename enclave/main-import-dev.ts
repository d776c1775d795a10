/**
 * Imports a whole client key into stopped developer nodes: `arca import` starts this program, gives it one job on standard
 * input, and reads its log from standard output. No node may run meanwhile; the caller holds the locks of their folders.
 *
 * Like main-dev.ts it names the clear keychain. Sealed vaults take no key that has ever been whole outside of an enclave.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { readDeveloperAnchor, readNodeFiles } from '../attestation/node/node-files.ts';
import { toHex } from '../common/bytes.ts';
import { loadConfig } from '../common/config.ts';
import { KmsError, systemErrorCode } from '../common/errors.ts';
import { createLogger } from '../common/log.ts';
import { NodeConfig } from '../common/node-config.ts';
import { fileVault } from '../common/node-config-vaults.ts';
import { openFileStorage } from '../storage/file-storage.ts';
import { parseImportJob } from './import/import-job.ts';
import { importKey } from './import/import-key.ts';
import type { ImportTarget } from './import/import-target.ts';
import { MAX_CLIENT_KEY_BYTES } from './import/whole-key.ts';
import { clearKeeper } from './vault/clear-keychain.ts';
import { PrivateVault } from './vault/private-vault.ts';

const log = createLogger({ name: 'import', level: 'info' });

try {
  const { configs, clientKey: path, ...job } = parseImportJob(await text(process.stdin));
  const targets = await openTargets(configs);
  const clientKey = await readSecretFile(path);
  try {
    const onStep = (step: string): void => log.info({ event: 'import.step', step });
    const { objects, ...imported } = await importKey({ ...job, clientKey, targets, onStep });
    const digests = objects.map(({ type, digest }) => ({ type, digest: toHex(digest) }));
    log.info({ event: 'import.done', ...imported, objects: digests });
  } finally {
    clientKey.fill(0);
  }
} catch (err) {
  log.fatal({ event: 'import.failed', err });
  process.exitCode = 1;
}

async function openTargets(configs: readonly string[]): Promise<readonly ImportTarget[]> {
  const vaults = new Set<string>();
  const targets: ImportTarget[] = [];
  for (const name of configs) {
    const config = loadConfig(NodeConfig, { file: name, env: {} });
    if (!config.developer_mode) {
      throw new KmsError('CONFIG_INVALID', `${name}: needs developer_mode = true: sealed vaults take no whole key`);
    }
    const { charter } = await readNodeFiles(config, await readDeveloperAnchor(config));
    const secret = fileVault(config.private_vault, 'private_vault');
    const open = fileVault(config.public_vault, 'public_vault');
    const place = resolve(secret.path, secret.prefix);
    if (vaults.has(place)) throw new KmsError('CONFIG_INVALID', `${name}: another node has the private vault ${place}`);
    vaults.add(place);
    const storage = await openFileStorage({ root: secret.path, prefix: secret.prefix, folderMode: 0o700 });
    targets.push({
      name,
      party: charter.party,
      threshold: config.threshold !== undefined,
      vault: new PrivateVault(clearKeeper(storage)),
      publicVault: await openFileStorage({ root: open.path, prefix: open.prefix, folderMode: 0o755 }),
    });
  }
  return targets;
}

/** Reads a file into an ArrayBuffer of its own; nothing larger than a client key can be, and nothing but a plain file. */
async function readSecretFile(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = await file.stat();
      if (!found.isFile() || found.size > MAX_CLIENT_KEY_BYTES) {
        throw new KmsError('KEY_INVALID', `${path} is no file of at most ${MAX_CLIENT_KEY_BYTES} bytes`);
      }
      const content = new Uint8Array(found.size);
      let read = 0;
      while (read < content.byteLength) {
        const { bytesRead } = await file.read(content, read, content.byteLength - read, read);
        if (bytesRead === 0) throw new KmsError('KEY_INVALID', `${path} changed while it was read`);
        read += bytesRead;
      }
      return content;
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = systemErrorCode(error);
    if (error instanceof KmsError || code === undefined) throw error;
    throw new KmsError('NOT_FOUND', `${path} cannot be read: ${code}`);
  }
}
