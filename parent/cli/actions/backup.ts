/**
 * What `arca backup status|list|verify|drill` does.
 */
import { withBackup } from '../backup/ask.ts';
import { drillOnCopy, nodeForCopy, settledBackup } from '../backup/drill-on-copy.ts';
import {
  drillJson,
  drillText,
  listJson,
  listText,
  reportJson,
  reportText,
  statusJson,
  statusText,
} from '../backup/report.ts';
import type { NodeSelection } from '../client/session.ts';
import { EXIT, failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';

/** `arca backup status`. */
export async function runBackupStatus(
  selection: NodeSelection & { readonly maxBehindSecs?: string | undefined },
  output: Output,
): Promise<void> {
  const limit = readLimit(selection.maxBehindSecs);
  const { status, folders } = await withBackup(selection, (admin) => admin.state());
  if (status === undefined) {
    throw failure(
      'UNAVAILABLE',
      'the private vault of this node is gone, so nothing follows it',
      'run arca restore --plan',
    );
  }
  if (status.failureCode !== '') output.warn('the backup does not follow: see "last failure"');
  output.result(statusJson(status), statusText(status, folders));
  if (Number(status.behindMs) / 1000 > limit) process.exitCode = EXIT.failed;
}

/** `arca backup list`. */
export async function runBackupList(selection: NodeSelection, output: Output): Promise<void> {
  const state = await withBackup(selection, (admin) => admin.state());
  output.result(listJson(state), listText(state));
}

/** `arca backup verify`. */
export async function runBackupVerify(selection: NodeSelection, output: Output): Promise<void> {
  const report = await withBackup(selection, (admin) => admin.verify());
  if (report.strays.some(({ kind }) => kind === 'planted')) {
    output.warn('somebody who is not this node wrote into the backup storage');
  }
  output.result(reportJson(report), reportText(report));
  if (report.faulty.length > 0) process.exitCode = EXIT.failed;
}

/** `arca backup drill`. */
export async function runBackupDrill(selection: NodeSelection, output: Output): Promise<void> {
  const node = await nodeForCopy(selection);
  const drill = await withBackup(selection, async (admin) =>
    admin.drill(node ? { rehearsed: await drillOnCopy(node, await settledBackup(admin), output) } : {}),
  );
  output.result(drillJson(drill), drillText(drill));
  if (!drill.passed) process.exitCode = EXIT.failed;
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw usageFailure(`'${text}' is no number of seconds`, 'give --max-behind-secs a whole number');
}
