/** What `arca run` does: starts a node whose engine is in an enclave, or only looks at whether it could. */
import { resolve } from 'node:path';
import { loadNodeConfig } from '../config/check-config.ts';
import type { Output } from '../framework/output.ts';
import { backendOf } from '../run/backends.ts';
import { checkEnclave, requireReady } from '../run/enclave-checks.ts';
import { startEnclaveNode } from '../run/run-enclave-node.ts';
import type { Params } from '../supervise/run-node.ts';
import { serve } from './dev.ts';

/** Options of `arca run`. */
export interface RunOptions {
  readonly config: string;
  readonly params: Params;
  readonly debugMode?: true | undefined;
  readonly check?: true | undefined;
}

/** `arca run`. */
export async function runRun(options: RunOptions, output: Output): Promise<void> {
  if (options.check === true) return await runCheck(options.config, output);
  const { config: file, params, debugMode } = options;
  await serve(await startEnclaveNode({ file, params, debug: debugMode === true, backendOf }, output), output);
}

async function runCheck(file: string, output: Output): Promise<void> {
  const config = loadNodeConfig(resolve(file), process.env);
  const { findings, memoryMb } = await checkEnclave(config, await backendOf(config));
  for (const { name, ok, found } of findings) output.note(`${ok ? '✓' : '✗'} ${name}: ${found}`);
  requireReady(findings);
  output.result({ ok: true, memoryMb, findings }, `the enclave can be started with ${memoryMb} MB`);
}
