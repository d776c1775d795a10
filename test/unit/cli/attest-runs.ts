/** Runs `arca attest` and keeps what it says. */
import { runVerify } from '../../../parent/cli/actions/attest.ts';
import { createOutput } from '../../../parent/cli/framework/output.ts';
import type { AttestingNode } from '../../helpers/attesting-node.ts';

interface Ran {
  readonly value: Record<string, unknown>;
  readonly stderr: string;
  readonly error: unknown;
}

/** Runs an action as `--json` would. */
export async function run(action: (output: ReturnType<typeof createOutput>) => Promise<void>): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const output = createOutput({
    json: true,
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
  });
  const error = await action(output).then(
    () => undefined,
    (error: unknown) => error,
  );
  return { value: stdout === '' ? {} : JSON.parse(stdout), stderr, error };
}

/** Runs `arca attest verify`. */
export const verify = (target: string, options: Parameters<typeof runVerify>[1]) =>
  run((out) => runVerify(target, options, out));

/** Options that trust a node as its own files say. */
export const trusting = ({ rootFile, releaseFile }: AttestingNode) => ({ root: rootFile, expect: releaseFile });

/** A clock that is off by so much. */
export function clockAt(offsetMs: number) {
  return { nowMs: () => Date.now() + offsetMs, monotonicMs: () => performance.now() };
}
