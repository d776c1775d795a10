/**
 * `arca version`: the versions of what runs here.
 */
import type { Command } from '@commander-js/extra-typings';
import { packageVersion } from '../../../common/package-version.ts';
import { createCommand, jsonOption, runAction } from '../framework/command.ts';

/** Returns the `version` command. */
export function versionCommand(): Command<[], { json?: true }> {
  return createCommand('version', 'Print the version of arca and of the Node that runs it.', [
    'arca version',
    'arca version --json',
  ])
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => {
        const version = packageVersion();
        const platform = `${process.platform}-${process.arch}`;
        const value = { name: 'arca', version, node: process.version, platform };
        output.result(value, `arca ${version} (Node ${process.version}, ${platform})`);
      }),
    );
}
