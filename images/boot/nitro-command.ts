/**
 * One call of `nitro-cli`: its arguments as they are, its answer bounded, its error codes with what to do about them.
 */
import { spawn } from 'node:child_process';
import { KmsError, systemErrorCode } from '../../common/errors.ts';

/** Runs the program and returns what it wrote on standard output. */
export type NitroCli = (args: readonly string[]) => Promise<string>;

/** A large image is loaded, and its enclave is waited for. */
const TIMEOUT_MS = 180_000;
const MAX_OUTPUT_BYTES = 1024 * 1024;
/** What is told of its words. */
const MAX_WORDS = 300;

/** What its error codes ask for; the rest speak for themselves. */
const CURES: Readonly<Record<string, string>> = {
  E19: 'let this user read the image',
  E22: 'raise cpu_count in /etc/nitro_enclaves/allocator.yaml and restart nitro-enclaves-allocator, or lower [enclave] cpus',
  E26: 'raise [enclave] memory_mb: at least four times the size of the image',
  E27: 'raise memory_mib in /etc/nitro_enclaves/allocator.yaml and restart nitro-enclaves-allocator',
  E29: 'look into /var/log/nitro_enclaves: it names the call that failed',
  E35: "check the image with 'arca image inspect'; huge pages may be missing",
  E36: "check the image with 'arca image verify': an expired signing certificate is reported like this",
  E39: 'start one enclave at a time; try again',
};

/** Returns what calls `program`. */
export function runNitroCli(program: string): NitroCli {
  return (args) =>
    new Promise((resolve, reject) => {
      // Not its option `timeout`, whose timer goes on where there is no such program.
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
      const [out, err] = [collect(child.stdout), collect(child.stderr)];
      const command = args[0] ?? '';
      child.once('error', (error) => {
        if (signal.aborted) return reject(failed(command, null, ''));
        const cure = 'install aws-nitro-enclaves-cli';
        const why = systemErrorCode(error) === 'ENOENT' ? 'there is no such program' : 'it cannot be run';
        reject(new KmsError('UNAVAILABLE', `${program}: ${why}`, { cure }, error));
      });
      child.once('close', (code) => {
        if (code === 0) resolve(out());
        else reject(failed(command, code, err()));
      });
    });
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  stream.on('data', (chunk: Buffer) => {
    if (sizeBytes >= MAX_OUTPUT_BYTES) return;
    sizeBytes += chunk.length;
    chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

function failed(command: string, code: number | null, words: string): KmsError {
  const error = /\[ (E\d\d) \] ([^\n]*)/.exec(words);
  const [, name = '', text = ''] = error ?? [];
  const said = (error ? `${name}: ${text}` : words.trim().replaceAll(/\s+/g, ' ')).slice(0, MAX_WORDS);
  const why = said === '' ? (code === null ? 'it took too long' : `exit code ${code}`) : said;
  const cure = CURES[name];
  return new KmsError('UNAVAILABLE', `nitro-cli ${command} failed: ${why}`, cure === undefined ? {} : { cure });
}
