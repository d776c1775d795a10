/**
 * `arca vault status`: what a node's private vault is, and which state of it the operator pins.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, runAction } from '../framework/command.ts';

/** Returns the `vault` command with its subcommand. */
export function vaultCommand(): Command {
  const command = createCommand('vault', 'Look at the private vault of a node.', []);
  command.addCommand(
    createNodeCommand('status', 'Show keychain, newest state and the confirmation of the start.', [
      'arca vault status                       # the line after "pin" is what to write down',
      'arca vault status --pin 41:5f2c…9d01    # exit code 1 if the vault is older, or another, than what was written down',
      'arca vault status --json',
    ])
      .option('--pin <sequence:digest>', 'state that was written down before')
      .action((options) =>
        runAction(options, async (output) => (await import('../actions/vault.ts')).runVaultStatus(options, output)),
      ),
  );
  return command;
}
