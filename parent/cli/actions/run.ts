/** What `arca run` does: starts a node whose engine is in an enclave, or only looks at whether it could. */
import { dirname, resolve } from 'node:path';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { Finding } from '../../../images/boot/backend.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import type { Output } from '../framework/output.ts';
import { backendOf } from '../run/backends.ts';
import { checkEnclave, requireReady } from '../run/enclave-checks.ts';
import { startEnclaveNode } from '../run/run-enclave-node.ts';
import type { Params } from '../supervise/run-node.ts';
import { entriesNamedBy, inspectStateFolder } from '../supervise/state-folder.ts';
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
  const { findings: found, memoryMb } = await checkEnclave(config, await backendOf(config));
  const findings = [await folderFinding(config, file), ...found];
  for (const { name, ok, found } of findings) output.note(`${ok ? '✓' : '✗'} ${name}: ${found}`);
  requireReady(findings);
  output.result({ ok: true, memoryMb, findings }, `the enclave can be started with ${memoryMb} MB`);
}

async function folderFinding(config: NodeConfig, file: string): Promise<Finding> {
  const [name, dir] = ['state folder', dirname(config.state.path)];
  const found = await inspectStateFolder(dir, entriesNamedBy(config, file));
  if (found.kind !== 'refused') return { name, ok: true, found: dir };
  const cure = 'name another with [state] path, or move this one away';
  return { name, ok: false, found: `${dir}: ${found.reason}`, cure };
}
