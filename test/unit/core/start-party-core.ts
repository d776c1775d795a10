/** A Core in front of the scripted engine of a party, for tests. */
import type { Test } from 'tap';
import { QuorumEngine } from './quorum-engine.ts';
import { startTestCore, type TestCore, type TestCoreOptions } from './test-core.ts';

/** Starts the Core of one of four parties, unless the engine says otherwise. */
export async function startPartyCore(
  t: Test,
  options: TestCoreOptions & { engine?: QuorumEngine } = {},
): Promise<TestCore & { readonly engine: QuorumEngine }> {
  const engine = options.engine ?? new QuorumEngine();
  const core = await startTestCore(t, { file: ':memory:', threshold: true, ...options, engine });
  return { ...core, engine };
}

/** How often the engine was called so. */
export function callsOf({ engine }: TestCore, method: number): number {
  return engine.calls.filter((call) => call.method === method).length;
}
