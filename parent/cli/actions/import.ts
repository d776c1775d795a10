/**
 * What `arca import` does: locks the folders of the stopped nodes, and has a program of the engine's side do the import.
 *
 * This process sees paths and public values; the key is read by the other program alone.
 */
import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { toHex } from '../../../common/bytes.ts';
import { DEFAULT_EPOCH_ID, parseRequestId } from '../../../wire/ids.ts';
import { readDomain, readHex } from '../client/domain.ts';
import type { DomainOptions } from '../client/domain-options.ts';
import { addToJournal } from '../client/journal.ts';
import { journalEntry, readId } from '../client/keys.ts';
import { absoluteDir } from '../framework/command.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readQuorumFile } from '../quorum/quorum-file.ts';
import { acquireFolderLock, type FolderLock } from '../supervise/folder-lock.ts';
import { runImportProgram } from '../supervise/import-program.ts';
import { inspectStateFolder, partyFolder, STATE_FILES } from '../supervise/state-folder.ts';

/** Options of the command. */
export interface ImportCommandOptions extends DomainOptions {
  readonly dir: string;
  readonly clientKey?: string | undefined;
  readonly publicKey?: string | undefined;
  readonly keySet?: string | undefined;
  readonly serverKey?: string | undefined;
  readonly layout: 'compressed' | 'uncompressed';
  readonly keyId?: string | undefined;
  readonly epoch?: string | undefined;
  readonly extraData: string;
}

const WARNING = [
  'this process and whoever holds the file know the WHOLE secret key: no quorum protects what was ever encrypted under it.',
  "The nodes say 'imported' of it. Import test keys only, and destroy the file.",
].join('\n  ');

/** How far each step begins, out of 1. */
const STEPS = { reading: 0, checking: 0.05, generating: 0.05, publishing: 0.8, storing: 0.95 } as const;

const Done = z.object({
  keyId: z.string().regex(/^[0-9a-f]{64}$/),
  params: z.enum(['test', 'default']),
  parties: z.int().nonnegative(),
  foreignTag: z.boolean(),
  objects: z.array(z.object({ type: z.string(), digest: z.string() })),
});

/** `arca import`. */
export async function runImport(options: ImportCommandOptions, output: Output): Promise<void> {
  const job = jobOf(options);
  const dir = absoluteDir(options.dir);
  const folders = await nodeFolders(dir);
  const locks: FolderLock[] = [];
  try {
    for (const folder of new Set([dir, ...folders])) locks.push(acquireFolderLock(folder));
    const configs = folders.map((folder) => join(folder, STATE_FILES.config));
    await requireStartedOnce(configs);
    output.warn(WARNING);
    const run = { title: 'import a client key', job: { ...job, configs }, steps: STEPS };
    const done = await runImportProgram(run, Done, output);
    await addToJournal(dir, journalEntry('key', parseRequestId(done.keyId), done.params));
    report(done, output);
  } finally {
    for (const lock of locks.reverse()) lock.release();
  }
}

/** What the program is asked to do, but for the nodes. */
function jobOf(options: ImportCommandOptions) {
  if (options.clientKey === undefined) {
    const cure = "give --client-key FILE; 'arca import zama-vault' takes over the vaults of a node";
    throw usageFailure('there is no client key to import', cure);
  }
  const { parsed } = readDomain(options);
  const { name, version, chainId, verifyingContract } = parsed;
  return {
    clientKey: resolve(options.clientKey),
    material: materialOf(options),
    ...(options.keyId === undefined ? {} : { keyId: readId(options.keyId) }),
    epochId: options.epoch === undefined ? DEFAULT_EPOCH_ID : readId(options.epoch),
    domain: { name, version, chainId: toHex(chainId), verifyingContract: toHex(verifyingContract) },
    extraData: toHex(readHex(options.extraData, '--extra-data')),
  };
}

function materialOf({ publicKey, keySet, serverKey, layout }: ImportCommandOptions) {
  if (publicKey === undefined && keySet === undefined && serverKey === undefined) return layout;
  if (publicKey !== undefined && keySet !== undefined && serverKey === undefined) {
    return { publicKey: resolve(publicKey), keySet: resolve(keySet) };
  }
  if (publicKey !== undefined && serverKey !== undefined && keySet === undefined) {
    return { publicKey: resolve(publicKey), serverKey: resolve(serverKey) };
  }
  throw usageFailure(
    'the public objects are not complete',
    'give --public-key and one of --key-set and --server-key, or none of the three to have new ones made',
  );
}

/**
 * Returns the folders of the nodes: of all parties of a quorum, or the one folder itself.
 *
 * @throws KmsError `NOT_FOUND` without a node.
 */
export async function nodeFolders(dir: string): Promise<readonly string[]> {
  const found = await inspectStateFolder(dir);
  if (found.kind !== 'ours') {
    const why = found.kind === 'refused' ? found.reason : 'there is no node in it';
    throw failure('NOT_FOUND', `${dir} cannot be imported into: ${why}`, "make one with 'arca dev', and stop it");
  }
  const quorum = await readQuorumFile(dir);
  if (!quorum) return [dir];
  return Array.from({ length: quorum.parties }, (_, index) => partyFolder(dir, index + 1));
}

/** Checks that nodes were started. @throws KmsError `PRECONDITION_FAILED`. */
export async function requireStartedOnce(configs: readonly string[]): Promise<void> {
  for (const config of configs) {
    await access(config).catch((error: unknown) => {
      throw failure('PRECONDITION_FAILED', `${config} is not there`, "start it once with 'arca dev'", {}, error);
    });
  }
}

function report(done: z.infer<typeof Done>, output: Output): void {
  const { keyId, params, parties, foreignTag, objects } = done;
  if (params === 'test') output.warn('test parameters protect nothing');
  if (foreignTag) output.warn('the public objects bear another tag than the id of the key');
  output.result({ keyId, params, provenance: 'imported', parties, objects }, keyId);
}
