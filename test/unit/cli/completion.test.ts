import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import t from 'tap';
import { completionScript, SHELLS } from '../../../parent/cli/framework/completion.ts';
import { createProgram } from '../../../parent/cli/program.ts';

const run = promisify(execFile);

/** What bash offers for a line whose last word is being typed. */
async function complete(line: string): Promise<string[]> {
  const script = `${completionScript('bash', createProgram())}
COMP_WORDS=(${line
    .split(' ')
    .map((word) => `'${word}'`)
    .join(' ')})
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_arca
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run('bash', ['--norc', '-c', script]);
  return stdout.split('\n').filter((word) => word !== '');
}

t.test('bash completes commands, subcommands, options and their values', async (t) => {
  t.same(await complete('arca de'), ['dev', 'decrypt'], 'commands');
  t.same(await complete('arca key '), ['generate', 'list', 'show', '--help'], 'subcommands');
  t.same(await complete('arca key generate --par'), ['--params'], 'options');
  t.same(await complete('arca key generate --params '), ['test', 'default'], 'values');
  t.same(await complete('arca --json key li'), ['list'], 'an option in between does not confuse');
  t.same(await complete('arca completion '), ['bash', 'zsh', 'fish', '--json', '--help'], 'arguments');
  t.same(await complete('arca encrypt --format big-'), ['big-compressed', 'big-expanded'], 'long values');
});

t.test('every shell gets a script that names every command', async (t) => {
  const program = createProgram();
  for (const shell of SHELLS) {
    const script = completionScript(shell, program);
    for (const command of program.commands) t.ok(script.includes(command.name()), `${shell}: ${command.name()}`);
  }
});

t.test('every command has --json, a description and, unless it only groups others, examples', async (t) => {
  for (const command of leavesOf(createProgram())) {
    t.ok(
      command.options.some(({ long }) => long === '--json'),
      `${command.name()} has --json`,
    );
    t.ok(command.description().length > 10, `${command.name()} says what it does`);
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) });
    command.outputHelp();
    t.match(help, /\nExamples:\n {2}\$ .*arca /, `${command.name()} has examples`);
    t.notMatch(help, /\n {2}\$ {2}/, 'what goes on from the line before is no command');
  }
});

/** The commands that do something, of groups of groups as well. */
function leavesOf(command: CommandUnknownOpts): CommandUnknownOpts[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}
