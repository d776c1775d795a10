/** Asks a command of the caller's for a signature: a key in AWS KMS or in a hardware module stays where it is. */
import { spawn } from 'node:child_process';
import { failure } from './failure.ts';

/** Larger than any signature, and than what a confused command should be read for. */
const MAX_BYTES = 4096;
const MAX_COMPLAINT = 2000;

/**
 * Runs a shell command with the digest on its standard input; what it writes is the signature. Nothing of ours is in the
 * command's text, so nothing has to be quoted.
 *
 * @throws KmsError `PRECONDITION_FAILED` if it fails, writes nothing or too much.
 */
export async function runSigner(command: string, digest: Uint8Array): Promise<Uint8Array> {
  const child = spawn(command, { shell: true, stdio: ['pipe', 'pipe', 'pipe'] });
  // One that ends without reading is told by its exit code.
  child.stdin.on('error', () => {});
  child.stdin.end(digest);
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => {
    complaint = `${complaint}${text.toString('utf8')}`.slice(-MAX_COMPLAINT);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const part of child.stdout) {
    sizeBytes += part.length;
    if (sizeBytes > MAX_BYTES) {
      child.kill();
      throw refused(`it writes more than ${MAX_BYTES} bytes`);
    }
    parts.push(part);
  }
  const code = await ended;
  if (code !== 0) throw refused(`exit code ${code}: ${complaint.trim()}`);
  if (sizeBytes === 0) throw refused('it wrote nothing');
  return new Uint8Array(Buffer.concat(parts));
}

const refused = (why: string) =>
  failure(
    'PRECONDITION_FAILED',
    `the command of --sign-with failed: ${why}`,
    'it gets the digest on standard input and writes the signature to standard output',
  );
