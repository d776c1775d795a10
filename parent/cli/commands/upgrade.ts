/**
 * `arca upgrade plan`: from one release set to the next without locking a party out.
 */
import { type Command, Option } from '@commander-js/extra-typings';
import { createCommand, jsonOption, runAction } from '../framework/command.ts';
import { collect } from '../governance/options.ts';

/** Returns the `upgrade` command with its subcommands. */
export function upgradeCommand(): Command {
  const command = createCommand('upgrade', 'Plan the way from one release to the next.', []);
  command.addCommand(planCommand());
  return command;
}

function planCommand() {
  return createCommand('plan', 'Say who must have what when; refuse an order that locks a party out.', [
    'arca upgrade plan releases-6.cbor releases-7.cbor',
    'arca upgrade plan 6.cbor 7.cbor --running 1.4.0 --to 1.5.0 --step-hours 48',
    'arca upgrade plan 6.cbor 7.cbor --order programs-first',
  ])
    .argument('<old>', 'release set in force')
    .argument('<new>', 'release set to come')
    .option('--running <release>', 'release that some party runs; all that OLD trusts if absent; repeatable', collect)
    .option('--to <release>', 'release to move to; what NEW adds if absent; repeatable', collect)
    .addOption(
      new Option('--order <order>', 'try this order alone').choices([
        'set-first',
        'programs-first',
        'set-only',
      ] as const),
    )
    .option('--delay-hours <n>', 'delay of a new set on each engine', '72')
    .option('--step-hours <n>', 'time that operators get for one step', '24')
    .option('--at <time>', 'when the first step begins; now if absent')
    .addOption(jsonOption())
    .action((old, next, options) =>
      runAction(options, async (output) => (await import('../actions/upgrade.ts')).runPlan(old, next, options, output)),
    );
}
