/**
 * Builds and runs test/load, the native load generator, and reads what it measured.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CRATE = fileURLToPath(new URL('../load/', import.meta.url));

/** Where calls go. */
export type LoadTarget =
  | {
      readonly kind: 'grpc';
      /** `host:port`, or several with commas between: then each call goes to all of them, with one request id. */
      readonly address: string;
      readonly path: string;
      /** So many addresses must answer; all, if absent. */
      readonly answers?: number;
    }
  | { readonly kind: 'engine'; readonly socketPath: string; readonly method: number; readonly hello: Uint8Array };

/** One measurement to make. */
export interface LoadOptions {
  readonly target: LoadTarget;
  /** File with the protobuf message, and where in it the 64 digits of the request id stand. */
  readonly bodyPath: string;
  readonly idAt: number;
  readonly inFlight: number;
  readonly connections: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** Writes one answer there; those of several addresses to files with `.1`, `.2`, … behind. */
  readonly answerPath?: string;
}

/** What was measured, over the calls that ended inside the window. */
export interface LoadResult {
  readonly calls: number;
  readonly errors: number;
  readonly errorsByName: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Processor time of the generator itself. */
  readonly cpuSeconds: number;
}

/** Folder of the user's cache that compiled and generated things go to. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'arca');
}

/** Builds the generator, if its sources changed, and returns the program's path. The first time takes half a minute. */
export async function buildLoadGenerator(): Promise<string> {
  const key = createHash('sha256')
    .update(readFileSync(join(CRATE, 'Cargo.lock')))
    .digest('hex');
  const target = join(cacheFolder(), 'cargo', `load-${key.slice(0, 16)}`);
  const args = ['build', '--release', '--locked', '--quiet', '--manifest-path', join(CRATE, 'Cargo.toml')];
  await run('cargo', args, { env: { ...process.env, CARGO_TARGET_DIR: target } });
  return join(target, 'release', 'arca-load');
}

/** Runs one measurement. */
export async function runLoad(program: string, options: LoadOptions): Promise<LoadResult> {
  const { target } = options;
  const where =
    target.kind === 'grpc'
      ? { grpc: target.address, path: target.path, ...(target.answers && { answers: target.answers }) }
      : { engine: target.socketPath, method: target.method, hello: Buffer.from(target.hello).toString('hex') };
  const named = {
    ...where,
    body: options.bodyPath,
    'id-at': options.idAt,
    connections: options.connections,
    'in-flight': options.inFlight,
    'warm-up': options.warmUpSeconds,
    seconds: options.seconds,
    ...(options.answerPath === undefined ? {} : { 'save-answer': options.answerPath }),
  };
  const args = Object.entries(named).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { stdout } = await run(program, args);
  const result: LoadResult = JSON.parse(stdout);
  return result;
}
