/** Runs the few programs of the machine that a build needs, and the one place that keeps their results between builds. */
import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KmsError } from '../../common/errors.ts';

const execute = promisify(execFile);
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Where a tool runs, and with what. */
export interface ToolOptions {
  readonly cwd?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/**
 * Runs a program and returns what it wrote to standard output.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` with what it said, if it is missing or fails.
 */
export async function runTool(program: string, args: readonly string[], options: ToolOptions = {}): Promise<string> {
  try {
    const { stdout } = await execute(program, [...args], {
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      ...(options.env !== undefined && { env: options.env }),
      maxBuffer: MAX_OUTPUT_BYTES,
    });
    return stdout;
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().slice(-2000) : '';
    const message = `${program} ${args[0] ?? ''} failed${said === '' ? '' : `: ${said}`}`;
    throw new KmsError('PRECONDITION_FAILED', message, {}, error);
  }
}

/** Folder that keeps fetched and made parts between builds, outside of the checkout. Everything in it is looked up by digest. */
export function cacheFolder(): string {
  const { XDG_CACHE_HOME: configured } = process.env;
  return join(configured === undefined || configured === '' ? join(homedir(), '.cache') : configured, 'arca');
}
