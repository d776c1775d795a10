/**
 * What `arca import zama-vault` does: locks the folder of the stopped node, and has a program of the engine's side take over
 * the vaults, attested where AWS KMS has to open them.
 */
import { createHash } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { openDeveloperRoot } from '../../../attestation/developer/developer-root.ts';
import { toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { readDomain } from '../client/domain.ts';
import type { DomainOptions } from '../client/domain-options.ts';
import { addToJournal } from '../client/journal.ts';
import { journalEntry, readId } from '../client/keys.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import { absoluteDir } from '../framework/command.ts';
import { usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { modulePath } from '../framework/package-files.ts';
import { type DeviceMaker, deviceMakers, measureFiles } from '../supervise/developer-devices.ts';
import { trustPaths } from '../supervise/developer-trust.ts';
import { acquireFolderLock, type FolderLock } from '../supervise/folder-lock.ts';
import { IMPORT_PROGRAM, runImportProgram } from '../supervise/import-program.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';
import { nodeFolders, requireStartedOnce } from './import.ts';

/** Options of the command. */
export interface ImportVaultCommandOptions extends DomainOptions {
  readonly dir: string;
  readonly from: string;
  readonly publicFrom: string;
  readonly party?: string | undefined;
  readonly rootKey?: string | undefined;
  readonly rootKeySpec: 'symm' | 'asymm';
  readonly aws?: string | undefined;
  readonly epoch?: string | undefined;
}

const STEPS = { reading: 0, publishing: 0.6, storing: 0.9 } as const;

const Done = z.object({
  address: z.string(),
  identity: z.enum(['adopted', 'same', 'own']),
  objects: z.array(
    z.object({
      type: z.enum(['FhePrivateKey', 'FheKeyInfo', 'CrsInfo']),
      id: z.string(),
      epochId: z.string(),
      params: z.enum(['test', 'default']).optional(),
    }),
  ),
  left: z.array(z.string()),
});

/** `arca import zama-vault`. */
export async function runImportVault(options: ImportVaultCommandOptions, output: Output): Promise<void> {
  const dir = absoluteDir(options.dir);
  const folder = nodeOf(await nodeFolders(dir), options.party);
  const rootKey = rootKeyOf(options);
  const { name, version, chainId, verifyingContract } = readDomain(options).parsed;
  const config = join(folder, STATE_FILES.config);
  const locks: FolderLock[] = [];
  try {
    for (const locked of new Set([dir, folder])) locks.push(acquireFolderLock(locked));
    await requireStartedOnce([config]);
    const job = {
      config,
      privateFolder: resolve(options.from),
      publicFolder: resolve(options.publicFrom),
      ...(rootKey && { rootKey }),
      ...(options.epoch === undefined ? {} : { epochId: readId(options.epoch) }),
      domain: { name, version, chainId: toHex(chainId), verifyingContract: toHex(verifyingContract) },
    };
    const device = rootKey && (await importDevice(config, output));
    const done = await runImportProgram({ title: 'take over a vault', job, steps: STEPS, device }, Done, output);
    for (const { type, id, params = 'default' } of done.objects) {
      await addToJournal(dir, journalEntry(type === 'CrsInfo' ? 'crs' : 'key', parseRequestId(id), params));
    }
    report(done, output);
  } finally {
    for (const lock of locks.reverse()) lock.release();
  }
}

/** The one node that takes the vault over: of a quorum, the party that was named. */
function nodeOf(folders: readonly string[], party: string | undefined): string {
  const [only, ...others] = folders;
  if (others.length === 0 && party === undefined && only !== undefined) return only;
  const found = party !== undefined && /^\d{1,2}$/.test(party) ? folders[Number(party) - 1] : undefined;
  if (others.length > 0 && found !== undefined) return found;
  const cure = others.length > 0 ? `give --party 1 to ${folders.length}` : 'leave out --party: this is one node';
  throw usageFailure('it is not clear which node takes the vault over', cure);
}

function rootKeyOf({ rootKey, rootKeySpec, aws }: ImportVaultCommandOptions) {
  if (rootKey === undefined && aws === undefined) return undefined;
  if (rootKey !== undefined && aws !== undefined) return { keyArn: rootKey, spec: rootKeySpec, awsFile: resolve(aws) };
  throw usageFailure('the root key is not complete', 'give --root-key and --aws, or none of them for a vault in clear');
}

/** A security module for the program, which is measured as the engine of this node is: both are the same files. */
async function importDevice(config: string, output: Output): Promise<DeviceMaker | undefined> {
  const { root } = trustPaths(loadNodeConfig(config, {}));
  const clock = systemClock;
  const programs = [{ name: 'import', file: modulePath(IMPORT_PROGRAM) }];
  const makers = deviceMakers({
    root: await openDeveloperRoot(dirname(root), { clock }),
    instanceId: `i-${createHash('sha256').update(config).digest('hex').slice(0, 17)}`,
    programs,
    measured: await measureFiles(programs, clock),
    onEvent: ({ event }) => output.warn(`the program's security module: ${event}`),
    clock,
  });
  return makers.get('import');
}

const IDENTITY = {
  adopted: 'the node has taken over its signing key',
  same: 'the node has that signing key already',
  own: 'the node keeps its own signing key, and has signed everything anew',
} as const;

function report({ identity, objects, left, address }: z.infer<typeof Done>, output: Output): void {
  output.note(`the vault was that of ${address}: ${IDENTITY[identity]}`);
  if (left.length > 0) output.note(`left behind, as it means nothing here: ${left.join(', ')}`);
  if (objects.some(({ params }) => params === 'test')) output.warn('test parameters protect nothing');
  output.result(
    { address, identity, provenance: 'imported', objects, left },
    objects.map(({ type, id }) => `${type} ${id}`).join('\n'),
  );
}
