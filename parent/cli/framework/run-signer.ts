/** Asks a command of the caller's for a signature: a key in AWS KMS or in a hardware module stays where it is. */
import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { failure } from './failure.ts';

/** Larger than any signature, and than what a confused command should be read for. */
const MAX_BYTES = 4096;
const MAX_COMPLAINT = 2000;
/**
 * Node's own pipes are sockets, which nobody can open once more as /dev/stdin or /dev/stdout; tools that want the name of a
 * file are told to. The exit code goes its own way, since a pipeline has that of its last part.
 */
const BETWEEN_PIPES = '{ cat | sh -c "$1" 3>&-; echo $? >&3; } | cat';

/**
 * Runs a shell command with the digest on its standard input; what it writes is the signature. Nothing of ours is in the
 * command's text, so nothing has to be quoted.
 *
 * @throws KmsError `PRECONDITION_FAILED` if it fails, writes nothing or too much.
 */
export async function runSigner(command: string, digest: Uint8Array): Promise<Uint8Array> {
  const child = spawn('/bin/sh', ['-c', BETWEEN_PIPES, 'sh', command], { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] });
  const [stdin, stdout, stderr, status] = child.stdio;
  if (!stdin || !stdout || !stderr || !(status instanceof Readable)) throw failure('INTERNAL', 'no pipes', 'report it');
  // One that ends without reading is told by its exit code.
  stdin.on('error', () => {});
  stdin.end(digest);
  const [complaint, code] = [lastOf(stderr), lastOf(status)];
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const part of stdout) {
    sizeBytes += part.length;
    if (sizeBytes > MAX_BYTES) {
      child.kill();
      throw refused(`it writes more than ${MAX_BYTES} bytes`);
    }
    parts.push(part);
  }
  await ended;
  if (code() !== '0') throw refused(`exit code ${code()}: ${complaint()}`);
  if (sizeBytes === 0) throw refused('it wrote nothing');
  return new Uint8Array(Buffer.concat(parts));
}

/** Collects the end of what a stream says. */
function lastOf(stream: Readable): () => string {
  let said = '';
  stream.on('data', (text: Buffer) => {
    said = `${said}${text.toString('utf8')}`.slice(-MAX_COMPLAINT);
  });
  return () => said.trim();
}

const refused = (why: string) =>
  failure(
    'PRECONDITION_FAILED',
    `the command of --sign-with failed: ${why}`,
    'it gets the digest on standard input and writes the signature to standard output',
  );
