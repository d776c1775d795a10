/**
 * What `arca start` (`npm start`) does: a developer node, the guided run, then leave it running or stop.
 */
import { describeFailure, EXIT } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { invocation } from '../framework/package-files.ts';
import { formatMs } from '../framework/progress.ts';
import { type FirstRun, firstRun } from '../guided/first-run.ts';
import { banner, nodeWarnings } from '../supervise/banner.ts';
import type { RunningNode } from '../supervise/run-node.ts';
import { type DevOptions, startDevNode, stopOnSignal } from './dev.ts';

/** `arca start`. */
export async function runStart(
  options: DevOptions & { readonly once?: true | undefined },
  output: Output,
): Promise<void> {
  try {
    const once = options.once === true;
    output.note('arca: a key management node and a first run through it\n');
    const running = await startWithProgress(options, once, output);
    const stopped = stopOnSignal(running, output);
    const touring = tour(running, once, output);
    touring.catch(() => {}); // a signal stops the node under the tour's feet: what it says then is no news
    const done = await Promise.race([touring, stopped]);
    if (done?.verified !== true) process.exitCode = EXIT.failed;
    if (once) await running.stop();
    else await stopped;
  } catch (error) {
    output.result({ verified: false, error: describeFailure(error) }, '');
    throw error;
  }
}

/** Starts the node as the first step of the tour. */
async function startWithProgress(options: DevOptions, once: boolean, output: Output): Promise<RunningNode> {
  const progress = output.progress('start engine and core');
  try {
    const running = await startDevNode(options, once, output);
    progress.done(running.dir);
    return running;
  } catch (error) {
    progress.failed();
    throw error;
  }
}

/** The guided run on a node that is ready; the node is stopped if it fails. */
async function tour(running: RunningNode, once: boolean, output: Output): Promise<FirstRun> {
  try {
    if (!once) output.note(banner(running));
    for (const warning of nodeWarnings(running)) output.warn(warning);
    output.note('');
    const run = await firstRun(running, output);
    report(running, run, once, output);
    return run;
  } catch (error) {
    await running.stop();
    throw error;
  }
}

function report(running: RunningNode, run: FirstRun, once: boolean, output: Output): void {
  const { verified, keyId, params, address, value, steps, verdict } = run;
  const totalMs = steps.reduce((sum, { ms }) => sum + ms, 0);
  const { dir, node } = running;
  const json = { verified, keyId, params, address, value, steps, totalMs, dir, node, verdict };
  const sentence = verified
    ? `Both answers are right and were accepted by Zama's published client (${formatMs(totalMs)} in all).`
    : `The answers are NOT verified: ${verdict.error ?? JSON.stringify(verdict)}`;
  output.result(json, once ? sentence : `\n${sentence}\n${nextSteps(running)}`);
}

function nextSteps({ dir }: RunningNode): string {
  const arca = invocation();
  const where = process.env.ARCA_DIR === undefined && dir.endsWith('/.arca') ? '' : ` --dir ${dir}`;
  return [
    '',
    'The node goes on running; Ctrl-C stops it. Your own client finds it where the published local stacks have it.',
    'In another terminal, try:',
    '',
    `  ${arca} status${where}`,
    `  ${arca} encrypt --type euint8 7 --out seven.ct${where}`,
    `  ${arca} decrypt seven.ct${where}`,
    `  ${arca} decrypt seven.ct --for-user --out answer.json${where}`,
    `  ${arca} verify answer.json${where}`,
    `  ${arca} key generate --params default${where}      # production parameters`,
    `  ${arca} --help`,
    '',
  ].join('\n');
}
