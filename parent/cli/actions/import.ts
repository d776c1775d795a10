/**
 * What `arca import` does: locks the folders of the stopped nodes, and has a program of the engine's side do the import.
 *
 * This process sees paths and public values; the key is read by the other program alone.
 */
import { spawn } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { toHex } from '../../../common/bytes.ts';
import { isErrorCode } from '../../../common/errors.ts';
import { DEFAULT_EPOCH_ID, parseRequestId } from '../../../wire/ids.ts';
import { readDomain, readHex } from '../client/domain.ts';
import type { DomainOptions } from '../client/domain-options.ts';
import { addToJournal } from '../client/journal.ts';
import { journalEntry, readId } from '../client/keys.ts';
import { absoluteDir } from '../framework/command.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { modulePath } from '../framework/package-files.ts';
import { readQuorumFile } from '../quorum/quorum-file.ts';
import { parseLogLine } from '../supervise/child.ts';
import { acquireFolderLock, type FolderLock } from '../supervise/folder-lock.ts';
import { inspectStateFolder, partyFolder, STATE_FILES } from '../supervise/state-folder.ts';

/** Options of the command. */
export interface ImportCommandOptions extends DomainOptions {
  readonly dir: string;
  readonly clientKey: string;
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
const PROGRAM = 'enclave/main-import-dev';

const Done = z.object({
  keyId: z.string().regex(/^[0-9a-f]{64}$/),
  params: z.enum(['test', 'default']),
  parties: z.int().nonnegative(),
  foreignTag: z.boolean(),
  objects: z.array(z.object({ type: z.string(), digest: z.string() })),
});
const Failed = z.object({ err: z.object({ code: z.string(), message: z.string() }) });

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
    const done = await runProgram(JSON.stringify({ ...job, configs }), output);
    await addToJournal(dir, journalEntry('key', parseRequestId(done.keyId), done.params));
    report(done, output);
  } finally {
    for (const lock of locks.reverse()) lock.release();
  }
}

/** What the program is asked to do, but for the nodes. */
function jobOf(options: ImportCommandOptions) {
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

/** The folders of the nodes: of all parties of a quorum, or the one folder itself. */
async function nodeFolders(dir: string): Promise<readonly string[]> {
  const found = await inspectStateFolder(dir);
  if (found.kind !== 'ours') {
    const why = found.kind === 'refused' ? found.reason : 'there is no node in it';
    throw failure('NOT_FOUND', `${dir} cannot be imported into: ${why}`, "make one with 'arca dev', and stop it");
  }
  const quorum = await readQuorumFile(dir);
  if (!quorum) return [dir];
  return Array.from({ length: quorum.parties }, (_, index) => partyFolder(dir, index + 1));
}

async function requireStartedOnce(configs: readonly string[]): Promise<void> {
  for (const config of configs) {
    await access(config).catch((error: unknown) => {
      throw failure('PRECONDITION_FAILED', `${config} is not there`, "start it once with 'arca dev'", {}, error);
    });
  }
}

/** Runs the program to its end. A signal for this process ends nothing half-way: the program takes back or finishes. */
async function runProgram(job: string, output: Output): Promise<z.infer<typeof Done>> {
  const progress = output.progress('import a client key');
  const finishing = (): void => output.note('the import is finished first');
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, finishing);
  const child = spawn(process.execPath, [modulePath(PROGRAM)], { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
  try {
    const ended = new Promise<void>((end) => child.once('close', () => end()).once('error', () => end()));
    child.stdin.on('error', () => {}); // it ended early: what it said tells why
    child.stdin.end(job);
    let outcome: Record<string, unknown> = {};
    const lines = createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY });
    lines.on('line', (line) => {
      const facts = parseLogLine(line);
      if (facts?.event === 'import.step') progress.update(fractionOf(facts.step));
      else if (facts) outcome = facts;
    });
    await ended;
    const done = Done.safeParse(outcome);
    if (outcome.event === 'import.done' && done.success) {
      progress.done();
      return done.data;
    }
    throw failureOf(outcome);
  } catch (error) {
    progress.failed();
    throw error;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, finishing);
  }
}

function fractionOf(step: unknown): number {
  return Object.entries(STEPS).find(([name]) => name === step)?.[1] ?? 0;
}

function failureOf(outcome: Record<string, unknown>): Error {
  const failed = Failed.safeParse(outcome);
  if (!failed.success || !isErrorCode(failed.data.err.code)) {
    return failure('INTERNAL', 'the import ended without a word', 'start the nodes: they refuse what is not whole');
  }
  const { code, message } = failed.data.err;
  return failure(code, message, 'nothing was imported; docs/operators/import.md says what is needed');
}

function report(done: z.infer<typeof Done>, output: Output): void {
  const { keyId, params, parties, foreignTag, objects } = done;
  if (params === 'test') output.warn('test parameters protect nothing');
  if (foreignTag) output.warn('the public objects bear another tag than the id of the key');
  output.result({ keyId, params, provenance: 'imported', parties, objects }, keyId);
}
