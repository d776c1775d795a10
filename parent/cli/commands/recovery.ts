/**
 * `arca recovery init|request|finish`: a node's backup back from its custodians, the operator's side.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, runAction } from '../framework/command.ts';
import { collect, forceOption, outOption } from '../governance/options.ts';

/** Returns the `recovery` command with its subcommands. */
export function recoveryCommand(): Command {
  const command = createCommand('recovery', "Bring a node's vault back with its custodians.", []);
  command.addCommand(
    createNodeCommand('init', 'Begin a recovery: the engine makes a key that answers are sealed for.', [
      'arca recovery init',
    ])
      .option('--out <file>', 'write the request for custodians of the published tool, which nobody can verify')
      .addOption(forceOption())
      .option('--overwrite', 'give up a recovery that was begun: its answers are of no use any more')
      .action((options) =>
        runAction(options, async (output) => (await import('../actions/recovery.ts')).runRecoveryInit(options, output)),
      ),
  );
  command.addCommand(
    createNodeCommand('request', "Write the request for one custodian, attested over the custodian's challenge.", [
      'arca recovery request --challenge 00112233445566778899aabbccddeeff --out ada.request',
    ])
      .requiredOption('--challenge <hex>', "what the custodian's 'arca custodian challenge' printed")
      .addOption(outOption())
      .addOption(forceOption())
      .action((options) =>
        runAction(options, async (output) =>
          (await import('../actions/recovery.ts')).runRecoveryRequest(options, output),
        ),
      ),
  );
  command.addCommand(
    createNodeCommand('finish', 'Hand over the answers of t + 1 custodians; the engine restores what is missing.', [
      'arca recovery finish --answer ada.answer --answer bob.answer',
    ])
      .option('--custodian-context <id>', 'id of the custodian context; that of the recovery under way if absent')
      .option('--answer <file>', 'answer of a custodian; repeatable', collect)
      .action((options) =>
        runAction(options, async (output) =>
          (await import('../actions/recovery.ts')).runRecoveryFinish(options, output),
        ),
      ),
  );
  return command;
}
