/**
 * `arca completion bash|zsh|fish`: a script for the shell, made from the tree of commands.
 */
import { Argument, type Command } from '@commander-js/extra-typings';
import { createCommand, jsonOption, runAction } from '../framework/command.ts';
import { completionScript, SHELLS } from '../framework/completion.ts';

/** Returns the `completion` command; `program` gives the tree to complete. */
export function completionCommand(program: () => Command): Command<[(typeof SHELLS)[number]], { json?: true }> {
  return createCommand('completion', 'Print a completion script for a shell.', [
    'source <(arca completion bash)                 # this shell only',
    'arca completion zsh > ~/.zfunc/_arca           # a folder of $fpath',
    'arca completion fish > ~/.config/fish/completions/arca.fish',
  ])
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addOption(jsonOption())
    .action((shell, options) =>
      runAction(options, async (output) => {
        const script = completionScript(shell, program());
        output.result({ shell, script }, script);
      }),
    );
}
