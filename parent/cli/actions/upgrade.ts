/**
 * What `arca upgrade plan` does.
 */
import {
  type LockOut,
  pcrsToJson,
  type UpgradeOrder,
  type UpgradePlan,
  upgradePlan,
} from '../../../attestation/governance/index.ts';
import { systemClock } from '../../../common/clock.ts';
import { EXIT } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { parseNumber, parseTime } from '../governance/numbers.ts';
import { readObject } from '../governance/object-files.ts';

interface PlanOptions {
  readonly running?: readonly string[] | undefined;
  readonly to?: readonly string[] | undefined;
  readonly order?: UpgradeOrder | undefined;
  readonly delayHours: string;
  readonly stepHours: string;
  readonly at?: string | undefined;
}

const HOUR_MS = 3_600_000;

/** `arca upgrade plan`. Exit code 1 if every order of steps locks somebody out. */
export async function runPlan(oldFile: string, newFile: string, options: PlanOptions, output: Output): Promise<void> {
  const old = (await readObject(oldFile, 'release-set')).body;
  const next = (await readObject(newFile, 'release-set')).body;
  const plan = upgradePlan(old, next, {
    nowMs: options.at === undefined ? systemClock.nowMs() : parseTime(options.at, '--at'),
    delayMs: parseNumber(options.delayHours, '--delay-hours') * HOUR_MS,
    stepMs: parseNumber(options.stepHours, '--step-hours') * HOUR_MS,
    running: options.running,
    target: options.to,
    order: options.order,
  });
  output.result(jsonOf(plan), describe(plan, old.version, next.version));
  if (!plan.ok) process.exitCode = EXIT.failed;
}

const iso = (ms: number) => new Date(ms).toISOString();

function jsonOf(plan: UpgradePlan) {
  if (plan.ok) {
    const steps = plan.steps.map(({ fromMs, untilMs, programs, ...step }) => ({
      ...step,
      programs: programs.map(({ pcrs, ...program }) => ({ ...program, pcrs: pcrsToJson(pcrs) })),
      from: iso(fromMs),
      until: iso(untilMs),
    }));
    return { ok: true, order: plan.order, steps };
  }
  const tried = plan.tried.map(({ order, lockOuts }) => ({ order, lockOuts: lockOuts.map(lockOutJson) }));
  return { ok: false, tried };
}

function lockOutJson({ atMs, pcrs, ...lockOut }: LockOut) {
  return { ...lockOut, pcrs: pcrsToJson(pcrs), at: iso(atMs) };
}

function describe(plan: UpgradePlan, from: number, to: number): string {
  if (plan.ok) {
    const lines = plan.steps.map(
      ({ text, fromMs, untilMs }, at) => `${at + 1}. ${iso(fromMs)} to ${iso(untilMs)}: ${text}`,
    );
    return [
      `from release set ${from} to ${to}, ${plan.order}: nobody is locked out`,
      ...lines,
      'Each step begins when every party has finished the one before; arca peers shows who has.',
    ].join('\n');
  }
  const lines = plan.tried.flatMap(({ order, lockOuts }) => [
    `refused: ${order} would lock parties out`,
    ...lockOuts.map(({ text }) => `  ${text}`),
  ]);
  const cure = 'Make a set between the two that trusts both releases long enough, and remove the old one later.';
  return [...lines, cure].join('\n');
}
