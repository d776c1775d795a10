/**
 * What `arca doctor` does on the folder of a quorum: the checks of every party, then those of all of them together.
 */
import { stat } from 'node:fs/promises';
import { withQuorum } from '../client/quorum-session.ts';
import { CHECKS, MACHINE_CHECKS, newFindings } from '../doctor/checks.ts';
import { QUORUM_CHECKS, type QuorumFindings } from '../doctor/quorum-checks.ts';
import { hasCode } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readPartyStatus } from '../quorum/party-status.ts';
import { readQuorumFile } from '../quorum/quorum-file.ts';
import { findLockHolder } from '../supervise/folder-lock.ts';
import { partyFolder } from '../supervise/state-folder.ts';
import { type CheckResult, runChecks } from './doctor.ts';

/** `arca doctor` at a quorum. */
export async function runQuorumDoctor(dir: string, output: Output): Promise<void> {
  const parties = (await readQuorumFile(dir))?.parties ?? 0;
  const results: CheckResult[] = [];
  const machine = CHECKS.filter(({ name }) => MACHINE_CHECKS.has(name));
  results.push(...(await runChecks(machine, newFindings(dir), (line) => output.note(line))));
  const running = findLockHolder(dir) !== undefined;
  for (let party = 1; party <= parties; party++) results.push(...(await checkParty(dir, party, output)));
  if (running) results.push(...(await checkTogether(dir, output)));
  const summary = running
    ? 'all is well'
    : `all is well, but no quorum runs on ${dir}: start it with 'arca dev --parties ${parties}'`;
  output.result({ ok: true, running, checks: results }, summary);
}

async function checkParty(dir: string, party: number, output: Output): Promise<CheckResult[]> {
  const own = partyFolder(dir, party);
  if (!(await isThere(own))) return [];
  const checks = CHECKS.filter(({ name }) => !MACHINE_CHECKS.has(name)).map((check) => ({
    ...check,
    name: `party ${party} ${check.name}`,
  }));
  return await runChecks(checks, newFindings(own), (line) => output.note(line));
}

async function checkTogether(dir: string, output: Output): Promise<CheckResult[]> {
  return await withQuorum({ dir }, async ({ parties, running, missing }) => {
    const statuses = await Promise.all(running.map(({ local }) => readPartyStatus(local)));
    const findings: QuorumFindings = {
      dir,
      parties,
      missing,
      running: running.map(({ party, address, local }, at) => ({
        party,
        address,
        node: local,
        status: statuses[at] ?? { state: 'down', reason: 'it was not asked' },
      })),
    };
    const results: CheckResult[] = [];
    for (const { name, run } of QUORUM_CHECKS) {
      try {
        const detail = await run(findings);
        output.note(`✓ ${name}: ${detail}`);
        results.push({ name, detail });
      } catch (error) {
        output.note(`✗ ${name}`);
        throw error;
      }
    }
    return results;
  });
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}
