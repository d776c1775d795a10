/**
 * The command `nitro-tpm-attest` (package aws-nitro-tpm-tools) as a source of documents. It takes its fields from
 * files and writes the document to its standard output. Nothing here is secret.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import { ATTEST_FIELD_MAX_BYTES, type Attester, type AttestFields, NSM_MAX_RESPONSE_BYTES } from './attester.ts';

/** Where the package installs it. */
export const NITRO_TPM_COMMAND = '/usr/bin/nitro-tpm-attest';

const TIMEOUT_MS = 30_000;
const MAX_ERROR_TEXT_BYTES = 2048;
const OPTION_OF = { publicKey: '--public-key', userData: '--user-data', nonce: '--nonce' } as const;
const FIELDS = ['publicKey', 'userData', 'nonce'] as const;

/** How the command is run. */
export interface NitroTpmCommandOptions {
  /** An absolute path; nothing is looked up. */
  readonly path?: string;
  readonly timeoutMs?: number;
}

/** Returns an attester that runs the command, one at a time. */
export function nitroTpmCommandAttester({
  path = NITRO_TPM_COMMAND,
  timeoutMs = TIMEOUT_MS,
}: NitroTpmCommandOptions = {}): Attester {
  if (!isAbsolute(path)) throw new KmsError('CONFIG_INVALID', 'the attestation command needs an absolute path');
  const closing = new AbortController();
  let last: Promise<unknown> = Promise.resolve();

  const run = async (fields: AttestFields, signal: AbortSignal): Promise<Uint8Array> => {
    if (signal.aborted) throw givenUp(closing.signal, signal);
    const folder = await mkdtemp(join(tmpdir(), 'nitro-tpm-'));
    try {
      const args: string[] = [];
      for (const name of FIELDS) {
        const value = fields[name];
        if (value === undefined) continue;
        const file = join(folder, name);
        await writeFile(file, value, { mode: 0o600, flag: 'wx' });
        args.push(OPTION_OF[name], file);
      }
      return await runCommand(path, args, timeoutMs, signal);
    } catch (error) {
      if (signal.aborted) throw givenUp(closing.signal, signal);
      throw error;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };

  return {
    kind: 'nitro-tpm',
    attest: (fields, signal) => {
      const either = signal ? AbortSignal.any([signal, closing.signal]) : closing.signal;
      const document = last.then(() => {
        checkFields(fields);
        return run(fields, either);
      });
      last = document.catch(() => undefined);
      return document;
    },
    close: () => closing.abort(),
  };
}

function checkFields(fields: AttestFields): void {
  for (const name of FIELDS) {
    const sizeBytes = fields[name]?.byteLength ?? 0;
    const max = ATTEST_FIELD_MAX_BYTES[name];
    if (sizeBytes > max) throw new KmsError('REQUEST_INVALID', 'a field is too long for a document', { name, max });
  }
}

function runCommand(
  path: string,
  args: readonly string[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/bin:/bin' },
      signal,
      killSignal: 'SIGKILL',
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    const output = bounded(NSM_MAX_RESPONSE_BYTES);
    const errors = bounded(MAX_ERROR_TEXT_BYTES);
    child.stderr.on('data', errors.add);
    child.stdout.on('data', (chunk: Buffer) => {
      output.add(chunk);
      if (output.isOver()) child.kill('SIGKILL');
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(cannotRun(path, error));
    });
    child.once('close', (status, killedBy) => {
      clearTimeout(timer);
      const document = output.bytes();
      if (output.isOver()) reject(new KmsError('ATTESTATION_INVALID', 'the command wrote more than any document'));
      else if (killedBy !== null)
        reject(new KmsError('UNAVAILABLE', 'the attestation command took too long', { path }));
      else if (status !== 0) reject(failed(path, status ?? -1, errors.bytes()));
      else if (!beginsLikeCose(document)) {
        reject(new KmsError('ATTESTATION_INVALID', 'the attestation command wrote no document', { path }));
      } else resolve(document);
    });
  });
}

/** Collects at most `max` bytes and remembers whether there were more. */
function bounded(max: number) {
  const chunks: Buffer[] = [];
  let size = 0;
  return {
    add: (chunk: Buffer) => {
      if (size < max) chunks.push(chunk.subarray(0, max - size));
      size += chunk.length;
    },
    isOver: () => size > max,
    bytes: () => Uint8Array.from(Buffer.concat(chunks)),
  };
}

/** An array of four, tagged as COSE_Sign1 or not. Who receives the document judges the rest. */
function beginsLikeCose(bytes: Uint8Array): boolean {
  return bytes[0] === 0x84 || (bytes[0] === 0xd2 && bytes[1] === 0x84);
}

function givenUp(closing: AbortSignal, signal: AbortSignal): KmsError {
  if (closing.aborted) return new KmsError('UNAVAILABLE', 'the attester is closed');
  return new KmsError('CANCELLED', 'the attestation was given up', {}, signal.reason);
}

function cannotRun(path: string, error: Error): KmsError {
  const errno = systemErrorCode(error) ?? 'unknown';
  const cure = 'install aws-nitro-tpm-tools, or name another path';
  return new KmsError('UNAVAILABLE', `the attestation command cannot be run: ${cure}`, { path, errno }, error);
}

function failed(path: string, status: number, text: Uint8Array): KmsError {
  // The command's own words, without what could forge a log line.
  const said = Buffer.from(text)
    .toString('latin1')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim();
  return new KmsError('UNAVAILABLE', 'the attestation command failed', { path, status, said });
}
