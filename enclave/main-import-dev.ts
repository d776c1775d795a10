/**
 * Imports into stopped developer nodes, a whole client key or the vaults of another node: `arca import` starts this program,
 * gives it one job on standard input, and reads its log from standard output. No node may run meanwhile; the caller holds the
 * locks of their folders.
 *
 * Like main-dev.ts it names the clear keychain. Sealed vaults take no key that has ever been whole outside of an enclave.
 */
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { openInheritedNsm } from '../attestation/developer/nsm-link.ts';
import { charterDigest } from '../attestation/governance/index.ts';
import { readDeveloperAnchor, readNodeFiles } from '../attestation/node/node-files.ts';
import { toHex } from '../common/bytes.ts';
import { systemClock } from '../common/clock.ts';
import { loadConfig } from '../common/config.ts';
import { KmsError } from '../common/errors.ts';
import { createLogger } from '../common/log.ts';
import { NodeConfig } from '../common/node-config.ts';
import { awsSection } from '../common/node-config-aws.ts';
import { fileVault } from '../common/node-config-vaults.ts';
import { awsCredentials } from '../storage/aws-credentials.ts';
import { openFileStorage } from '../storage/file-storage.ts';
import { ForeignVault } from './import/foreign-vault.ts';
import { type ImportJob, parseImportJob, type VaultJob } from './import/import-job.ts';
import { importKey } from './import/import-key.ts';
import type { ImportTarget } from './import/import-target.ts';
import { importVault } from './import/import-vault.ts';
import { readSecretFile } from './import/secret-file.ts';
import { MAX_CLIENT_KEY_BYTES } from './import/whole-key.ts';
import type { ForeignKeys } from './keychain/aws-kms.ts';
import { bindCharter } from './mesh/bind-charter.ts';
import { clearKeeper } from './vault/clear-keychain.ts';
import { PrivateVault } from './vault/private-vault.ts';

const log = createLogger({ name: 'import', level: 'info' });
const onStep = (step: string): void => log.info({ event: 'import.step', step });

try {
  const job = parseImportJob(await text(process.stdin));
  if ('config' in job) await takeOver(job);
  else await importWhole(job);
} catch (err) {
  log.fatal({ event: 'import.failed', err });
  process.exitCode = 1;
}

async function importWhole({ configs, clientKey: path, ...job }: ImportJob): Promise<void> {
  const targets = await openTargets(configs);
  const clientKey = await readSecretFile(path, MAX_CLIENT_KEY_BYTES);
  try {
    const { objects, ...imported } = await importKey({ ...job, clientKey, targets, onStep });
    const digests = objects.map(({ type, digest }) => ({ type, digest: toHex(digest) }));
    log.info({ event: 'import.done', ...imported, objects: digests });
  } finally {
    clientKey.fill(0);
  }
}

async function takeOver({
  config: file,
  privateFolder,
  publicFolder,
  rootKey: asked,
  ...job
}: VaultJob): Promise<void> {
  const [target] = await openTargets([file]);
  if (!target) throw new KmsError('INTERNAL', 'there is no node');
  const rootKey = asked && { keyArn: asked.keyArn, keys: await openRootKey(file, asked) };
  try {
    const source = new ForeignVault({ privateFolder, publicFolder, rootKey });
    log.info({ event: 'import.done', ...(await importVault({ ...job, source, target, onStep })) });
  } finally {
    rootKey?.keys.close();
  }
}

/** Attested as an engine of this node: AWS KMS opens what its key's policy lets such an engine open. */
async function openRootKey(
  file: string,
  { keyArn, spec, awsFile }: NonNullable<VaultJob['rootKey']>,
): Promise<ForeignKeys> {
  const { aws } = loadConfig(z.object({ aws: awsSection }), { file: awsFile, env: {} });
  const config = loadConfig(NodeConfig, { file, env: {} });
  const anchor = await readDeveloperAnchor(config);
  const { charter } = await readNodeFiles(config, anchor);
  const nsm = openInheritedNsm();
  await bindCharter(nsm, charter, { anchor, clock: systemClock });
  // Loaded on demand: vaults in clear need no client of AWS.
  const { foreignKeys } = await import('./keychain/aws-kms.ts');
  return foreignKeys(spec, {
    keyArn,
    nsm,
    charterDigest: charterDigest(charter),
    party: charter.party,
    credentials: awsCredentials(aws),
    developerEndpoint: aws.developer_kms_endpoint,
    onRetry: (err, attempt) => log.warn({ event: 'kms.retry', attempt, err }),
  });
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
