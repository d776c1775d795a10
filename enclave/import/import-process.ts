/**
 * What the developer engine's program does when it is told to import, in place of serving: a whole client key, or the vaults
 * of another node. `arca import` gives it one job on standard input, and reads its log from standard output. No node may run
 * meanwhile; the caller holds the locks of their folders.
 *
 * It is the same program, so that it is measured as the engine is: root keys that admit the one admit the other, and no third.
 */
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { toHex } from '../../common/bytes.ts';
import { loadConfig } from '../../common/config.ts';
import { createLogger } from '../../common/log.ts';
import { awsSection } from '../../common/node-config-aws.ts';
import { awsCredentials } from '../../storage/aws-credentials.ts';
import type { ForeignKeys } from '../keychain/aws-kms.ts';
import { AttestedImport, type ImportProgram } from './attested-import.ts';
import { folderStore } from './foreign-store.ts';
import { ForeignVault } from './foreign-vault.ts';
import { type ImportJob, parseImportJob, type VaultJob } from './import-job.ts';
import { importKey } from './import-key.ts';
import { importVault, openForeignIdentity } from './import-vault.ts';
import { openClearTargets, openTarget } from './open-targets.ts';
import { readSecretFile } from './secret-file.ts';
import { MAX_CLIENT_KEY_BYTES } from './whole-key.ts';

const log = createLogger({ name: 'import', level: 'info' });
const onStep = (step: string): void => log.info({ event: 'import.step', step });

/** Runs the job that comes on standard input; the process ends with status 1 if it fails. */
export async function runImport(program: ImportProgram): Promise<void> {
  try {
    const job = parseImportJob(await text(process.stdin));
    if ('config' in job) await takeOver(job, program);
    else await importWhole(job, program);
  } catch (err) {
    log.fatal({ event: 'import.failed', err });
    process.exitCode = 1;
  }
}

async function importWhole({ configs, clientKey: path, ...job }: ImportJob, program: ImportProgram): Promise<void> {
  const targets = await openClearTargets(configs, program);
  const clientKey = await readSecretFile(path, MAX_CLIENT_KEY_BYTES);
  try {
    const { objects, ...imported } = await importKey({ ...job, clientKey, targets, onStep });
    const digests = objects.map(({ type, digest }) => ({ type, digest: toHex(digest) }));
    log.info({ event: 'import.done', ...imported, objects: digests });
  } finally {
    clientKey.fill(0);
  }
}

async function takeOver(
  { config, emulators, privateFolder, publicFolder, rootKey: asked, ...job }: VaultJob,
  program: ImportProgram,
): Promise<void> {
  await using attested = new AttestedImport({ file: config, emulators, program, log });
  const rootKey = asked && { keyArn: asked.keyArn, keys: await openRootKey(asked, attested) };
  try {
    const [secret, published] = [folderStore(privateFolder), folderStore(publicFolder)];
    const source = new ForeignVault({ secret, published, rootKey });
    const firstKey = () => openForeignIdentity(source);
    await using target = await openTarget(attested, { ...program, firstKey, log });
    log.info({ event: 'import.done', ...(await importVault({ ...job, source, target, onStep })) });
  } finally {
    rootKey?.keys.close();
  }
}

/** AWS KMS opens what its key's policy lets such an engine open. */
async function openRootKey(
  { keyArn, spec, awsFile }: NonNullable<VaultJob['rootKey']>,
  attested: AttestedImport,
): Promise<ForeignKeys> {
  const { aws } = loadConfig(z.object({ aws: awsSection }), { file: awsFile, env: {} });
  // Loaded on demand: vaults in clear need no client of AWS.
  const { foreignKeys } = await import('../keychain/aws-kms.ts');
  const { charterDigest, party, nsm } = await attested.engine();
  return foreignKeys(spec, {
    keyArn,
    nsm,
    charterDigest,
    party,
    credentials: awsCredentials(aws),
    developerEndpoint: aws.developer_kms_endpoint,
    onRetry: (err, attempt) => log.warn({ event: 'kms.retry', attempt, err }),
  });
}
