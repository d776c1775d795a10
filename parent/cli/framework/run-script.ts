/**
 * Runs a script of the package as a process of its own, which gets its input on standard input: nothing of it stands in
 * arguments or environment.
 */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

/** How a script ended. */
export interface ScriptEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script by this very Node; rejects if it cannot be started. */
export async function runScript(path: string, input: string): Promise<ScriptEnd> {
  const child = spawn(process.execPath, [path], { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  child.stdin.on('error', () => {}); // it ended early: exit code and words tell why
  child.stdin.end(input);
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { code, stdout, stderr };
}
