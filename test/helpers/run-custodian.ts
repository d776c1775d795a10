/** Runs `arca custodian` without a terminal: words come and go through descriptors, as in rehearsals. */
import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { CommandResult } from './cli-script.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/arca', import.meta.url));

/** Runs `arca custodian` with descriptors 3 (written to it) and 4 (read from it). `echo` types back what 4 gives. */
export async function runCustodian(
  args: readonly string[],
  words?: string | 'echo',
): Promise<CommandResult & { readonly shown: string }> {
  const child = spawn(LAUNCHER, ['custodian', ...args], { stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] });
  const closed = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  const [, stdout, stderr, into, outOf] = child.stdio;
  const typed = into as Writable;
  typed.on('error', () => {}); // a command that refuses earlier never reads the words
  if (words !== 'echo') typed.end(`${words ?? ''}\n`);
  const showing = text(outOf as Readable).then((shown) => {
    if (words === 'echo') typed.end(`${shown}\n`);
    return shown;
  });
  const [code, out, err, shown] = await Promise.all([
    closed,
    text(stdout as Readable),
    text(stderr as Readable),
    showing,
  ]);
  return { code, stdout: out, stderr: err, shown };
}
