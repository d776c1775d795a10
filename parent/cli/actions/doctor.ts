/**
 * What `arca doctor` does: runs the checks in order and stops at the first that fails.
 */
import { systemClock } from '../../../common/clock.ts';
import { selectsQuorum } from '../client/quorum-session.ts';
import { CHECKS, type Check, type Findings, howToStart, newFindings } from '../doctor/checks.ts';
import { absoluteDir } from '../framework/command.ts';
import type { Output } from '../framework/output.ts';

/** `arca doctor`. */
export async function runDoctor(dir: string, config: string | undefined, output: Output): Promise<void> {
  if (config === undefined && (await selectsQuorum({ dir }))) {
    await (await import('./doctor-quorum.ts')).runQuorumDoctor(absoluteDir(dir), output);
    return;
  }
  const findings = newFindings(absoluteDir(dir), systemClock, config && absoluteDir(config));
  const checks = await runChecks(CHECKS, findings, (line) => output.note(line));
  const running = findings.node !== undefined;
  const summary = running
    ? 'all is well'
    : `all is well, but no node runs on ${findings.dir}: start one with '${await howToStart(findings)}'`;
  output.result({ ok: true, running, checks }, summary);
}

/** What a check found. */
export interface CheckResult {
  readonly name: string;
  readonly detail: string;
}

/** Runs checks in order; the first fault is thrown as it is. */
export async function runChecks(
  checks: readonly Check[],
  findings: Findings,
  onLine: (line: string) => void,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const check of checks) {
    if (check.applies && !(await check.applies(findings))) continue;
    try {
      const detail = (await check.run(findings)) ?? 'skipped: no node runs';
      onLine(`✓ ${check.name}: ${detail}`);
      results.push({ name: check.name, detail });
    } catch (error) {
      onLine(`✗ ${check.name}`);
      throw error;
    }
  }
  return results;
}
