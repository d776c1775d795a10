/**
 * `arca config check|explain`: reads a node's configuration file as the node would, and explains its keys.
 */
import { resolve } from 'node:path';
import type { Command } from '@commander-js/extra-typings';
import { createCommand, jsonOption, runAction } from '../framework/command.ts';

/** Returns the `config` command with its subcommands. */
export function configCommand(): Command {
  const command = createCommand('config', "Check a node's configuration, explain its keys.", []);
  command.addCommand(checkCommand());
  command.addCommand(explainCommand());
  return command;
}

function checkCommand(): Command<[string], { json?: true }> {
  return createCommand('check', 'Check a configuration file: every fault at once, with line and nearest key.', [
    'arca config check ./.arca/node.toml',
    'KMS_CORE__SERVICE__LISTEN_PORT=50100 arca config check node.toml   # overrides count too',
  ])
    .argument('<file>', 'the TOML file')
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => {
        const { checkConfig } = await import('../config/check-config.ts');
        const config = checkConfig(resolve(file), process.env);
        output.result({ ok: true, file: resolve(file), config }, `${file}: ok`);
      }),
    );
}

function explainCommand(): Command<[string | undefined], { json?: true }> {
  return createCommand('explain', 'Explain the keys of the configuration, all or those below a name.', [
    'arca config explain',
    'arca config explain service.listen_port',
  ])
    .argument('[key]', 'a section or key, e.g. service or service.listen_port')
    .addOption(jsonOption())
    .action((key, options) =>
      runAction(options, async (output) => {
        const { describeKeys, explainKeys } = await import('../config/explain-config.ts');
        const keys = explainKeys(key);
        output.result({ keys }, describeKeys(keys));
      }),
    );
}
