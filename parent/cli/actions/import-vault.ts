/**
 * What `arca import zama-vault` does: locks the folder of the stopped node, and has the engine's program take over the vaults,
 * attested where AWS KMS has to open or to seal them.
 */
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { toHex } from '../../../common/bytes.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { readDomain } from '../client/domain.ts';
import { addToJournal } from '../client/journal.ts';
import { journalEntry, readId } from '../client/keys.ts';
import { absoluteDir } from '../framework/command.ts';
import { usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { makeQuorumImportPlace } from '../quorum/import-place.ts';
import { backendOf as configuredBackend } from '../run/backends.ts';
import { type EnclaveJobOptions, enclaveJob } from '../run/enclave-job.ts';
import { importInEnclave } from '../run/import-in-enclave.ts';
import type { TakeNodeOptions } from '../run/node-enclave.ts';
import { acquireFolderLock } from '../supervise/folder-lock.ts';
import { type ImportPlace, makeImportPlace, openImportPlace } from '../supervise/import-place.ts';
import { runImportProgram } from '../supervise/import-program.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';
import { takeStateFolder } from '../supervise/take-state-folder.ts';
import { nodeFolders, requireStartedOnce } from './import.ts';

/** Options of the command. */
export interface ImportVaultCommandOptions extends EnclaveJobOptions {
  readonly dir: string;
  readonly config?: string | undefined;
}

const STEPS = { opening: 0, reading: 0.05, publishing: 0.6, storing: 0.9 } as const;

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

/**
 * `arca import zama-vault`.
 *
 * @param backendOf - What starts an enclave, if that is not what the configuration says.
 */
export async function runImportVault(
  options: ImportVaultCommandOptions,
  output: Output,
  backendOf?: TakeNodeOptions['backendOf'],
): Promise<void> {
  if (options.config !== undefined) return await runInEnclave(options.config, options, output, backendOf);
  const dir = absoluteDir(options.dir);
  const rootKey = rootKeyOf(options);
  const { name, version, chainId, verifyingContract } = readDomain(options).parsed;
  await using held = new AsyncDisposableStack();
  const { config, device, emulators } = await openPlace(dir, options, held, output);
  const job = {
    config,
    privateFolder: resolve(options.from),
    publicFolder: resolve(options.publicFrom),
    ...(rootKey && { rootKey }),
    ...(emulators && { emulators }),
    ...(options.epoch === undefined ? {} : { epochId: readId(options.epoch) }),
    identityOnly: options.newAwsQuorum !== undefined || options.identityOnly === true,
    domain: { name, version, chainId: toHex(chainId), verifyingContract: toHex(verifyingContract) },
  };
  const title = titleOf(job.identityOnly);
  const done = await runImportProgram({ title, job, steps: STEPS, device }, Done, output);
  for (const { type, id, params = 'default' } of done.objects) {
    await addToJournal(dir, journalEntry(type === 'CrsInfo' ? 'crs' : 'key', parseRequestId(id), params));
  }
  report(done, output);
}

const titleOf = (identityOnly: boolean): string => `take over a ${identityOnly ? 'signing key' : 'vault'}`;

/** Into a node whose engine runs in an enclave: that engine does it, and sees what nobody else may. */
async function runInEnclave(
  file: string,
  options: ImportVaultCommandOptions,
  output: Output,
  backendOf: TakeNodeOptions['backendOf'] = configuredBackend,
): Promise<void> {
  const job = enclaveJob(options);
  const title = titleOf(job.identity_only);
  report(await importInEnclave({ file, backendOf, title, job, steps: STEPS }, Done, output), output);
}

/** Locks what the import goes into, and starts what it needs. */
async function openPlace(
  dir: string,
  options: ImportVaultCommandOptions,
  held: AsyncDisposableStack,
  output: Output,
): Promise<ImportPlace> {
  if (options.newAwsQuorum !== undefined) {
    const [parties, party] = [numberOf(options.newAwsQuorum), numberOf(options.party)];
    if (options.newAwsNode || parties === undefined || party === undefined) {
      const cure = 'give --new-aws-quorum 4 --party 1, and so on, without --new-aws-node';
      throw usageFailure('it is not clear which party of how many takes the signing key over', cure);
    }
    return await makeQuorumImportPlace(dir, { parties, party }, held, output);
  }
  if (options.newAwsNode) {
    if (options.party !== undefined) {
      throw usageFailure(
        'a new node is a single one',
        'leave out --party; --new-aws-quorum makes a quorum whose parties keep their addresses',
      );
    }
    const lock = await takeStateFolder(dir, { reset: false, parties: 1, aws: true }, output);
    held.defer(() => lock.release());
    return await makeImportPlace(dir, held, output);
  }
  const folders = await nodeFolders(dir);
  const folder = nodeOf(folders, options.party);
  for (const locked of new Set([dir, folder])) {
    const lock = acquireFolderLock(locked);
    held.defer(() => lock.release());
  }
  const config = join(folder, STATE_FILES.config);
  await requireStartedOnce([config]);
  const parties = folders.map((_, index) => index + 1);
  return await openImportPlace({ dir, parties, config }, options.rootKey !== undefined, held, output);
}

/** The one node that takes the vault over: of a quorum, the party that was named. */
function nodeOf(folders: readonly string[], party: string | undefined): string {
  const [only, ...others] = folders;
  if (others.length === 0 && party === undefined && only !== undefined) return only;
  const found = folders[(numberOf(party) ?? 0) - 1];
  if (others.length > 0 && found !== undefined) return found;
  const cure = others.length > 0 ? `give --party 1 to ${folders.length}` : 'leave out --party: this is one node';
  throw usageFailure('it is not clear which node takes the vault over', cure);
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,2}$/.test(text) ? Number(text) : undefined;
}

function rootKeyOf({ rootKey, rootKeySpec, aws }: ImportVaultCommandOptions) {
  if (rootKey === undefined && aws === undefined) return undefined;
  if (rootKey !== undefined && aws !== undefined) return { keyArn: rootKey, spec: rootKeySpec, awsFile: resolve(aws) };
  throw usageFailure('the root key is not complete', 'give --root-key and --aws, or none of them for a vault in clear');
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
