/**
 * `arca status`: what a node is, what it holds and what it is doing.
 */
import { createNodeCommand, publicUrlOption, runAction } from '../framework/command.ts';

/** Returns the `status` command. */
export function statusCommand() {
  return createNodeCommand('status', 'Show what a node is, what it holds and what it is doing.', [
    'arca status',
    'arca status --url http://127.0.0.1:50051 --json',
  ])
    .addOption(publicUrlOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/status.ts')).runStatus(options, output)),
    );
}
