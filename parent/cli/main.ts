/**
 * Entry of the `arca` command: parses the command line, runs the command, turns wrong usage into exit code 2.
 */
import { CommanderError } from '@commander-js/extra-typings';
import { EXIT, usageFailure } from './framework/failure.ts';
import { createOutput } from './framework/output.ts';
import { createProgram } from './program.ts';

// A reader that has seen enough (`arca key list | head -1`) is no fault; a terminal that went away is none either.
process.stdout.on('error', () => process.exit(EXIT.ok));
process.stderr.on('error', () => {});

const args = process.argv.slice(2);
try {
  await createProgram().parseAsync(args, { from: 'user' });
} catch (error) {
  process.exitCode = reportUsage(error);
}

/** Help and version end a parse too, without a fault. */
function reportUsage(error: unknown): number {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
  const output = createOutput({ json: args.includes('--json') });
  if (!(error instanceof CommanderError)) {
    output.failure(error);
    return EXIT.usage;
  }
  if (error.code === 'commander.help') {
    process.stderr.write(createProgram().helpInformation());
    output.failure(usageFailure('a command is missing', "name one of the commands; 'arca help COMMAND' explains it"));
    return EXIT.usage;
  }
  const message = error.message.replace(/^error: /, '').replace(/\n.*/s, (rest) => rest.replace(/\n/g, ' '));
  output.failure(usageFailure(message, `see 'arca ${[...commandWords(), '--help'].join(' ')}'`));
  return EXIT.usage;
}

/** The words of the command line that name a command, for the hint. */
function commandWords(): string[] {
  const words: string[] = [];
  let names = createProgram().commands;
  for (const arg of args) {
    const found = names.find((command) => command.name() === arg);
    if (!found) break;
    words.push(arg);
    names = found.commands;
  }
  return words;
}
