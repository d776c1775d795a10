/**
 * `arca doctor`: looks at the parts in the order in which they depend on each other, and stops at the first fault.
 */
import { createCommand, dirOption, jsonOption, runAction } from '../framework/command.ts';

/** Returns the `doctor` command. */
export function doctorCommand() {
  return createCommand('doctor', 'Check Node, library, folder, AWS, ports, processes; stop at the first fault.', [
    'arca doctor',
    'arca doctor --dir ./my-node --json',
    'arca doctor --config /etc/arca/node.toml   # before its first start: buckets and keys of AWS too',
  ])
    .addOption(dirOption())
    .option('--config <file>', 'configuration of a node that is started with arca node')
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) =>
        (await import('../actions/doctor.ts')).runDoctor(options.dir, options.config, output),
      ),
    );
}
