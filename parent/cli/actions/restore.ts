/**
 * What `arca restore` does: shows its plan, asks, restores. The engine checks everything itself, again, before it writes.
 */
import { createInterface } from 'node:readline/promises';
import { fromHex } from '../../../common/bytes.ts';
import { withBackup } from '../backup/ask.ts';
import { planText, restoreJson, writtenCount } from '../backup/report.ts';
import type { NodeSelection } from '../client/session.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readPin } from './vault.ts';

/** Options of the command. */
export interface RestoreOptions extends NodeSelection {
  readonly plan?: true | undefined;
  readonly yes?: true | undefined;
  /** The newest state of the vault that somebody wrote down. */
  readonly head?: string | undefined;
}

const WORD = 'restore';

/** `arca restore`. */
export async function runRestore(options: RestoreOptions, output: Output): Promise<void> {
  const head = options.head === undefined ? undefined : readPin(options.head);
  const known = head ? { headSequence: head.sequence, headDigest: fromHex(head.digest) } : {};
  if (options.plan === true && options.yes === true)
    throw usageFailure('--plan and --yes exclude each other', 'give one');
  await withBackup(options, async (admin) => {
    const plan = await admin.restore({ plan: true, ...known });
    const planted = plan.report?.strays.filter(({ kind }) => kind === 'planted').length ?? 0;
    if (planted > 0) output.warn(`${planted} objects in the backup storage are not this node's: they are not restored`);
    if (head === undefined)
      output.warn('nothing says whether this is the newest state: --head takes what was written down');
    if (options.plan === true) {
      output.result({ plan: restoreJson(plan) }, planText(plan));
      return;
    }
    const count = writtenCount(plan);
    if (count === 0) {
      output.result({ restored: 0, plan: restoreJson(plan) }, `${planText(plan)}\nnothing is missing`);
      return;
    }
    output.note(planText(plan));
    if (options.yes !== true) await askForTheWord(count);
    const done = await admin.restore({ plan: false, ...known });
    const next = done.lost
      ? "start the node again: it serves once its start is confirmed ('arca vault status')"
      : 'start the node again, so that it reads what was added';
    output.result(
      { restored: writtenCount(done), ...restoreJson(done) },
      `${writtenCount(done)} objects restored; ${next}`,
    );
  });
}

async function askForTheWord(count: number): Promise<void> {
  if (process.stdin.isTTY !== true) {
    throw failure(
      'PRECONDITION_FAILED',
      'nobody is here to say yes to the plan',
      'read the plan with --plan, then give --yes',
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Type '${WORD}' to write ${count} objects: `);
    if (answer.trim() !== WORD) throw failure('CANCELLED', 'nothing was restored', `type '${WORD}' to restore`);
  } finally {
    terminal.close();
  }
}
