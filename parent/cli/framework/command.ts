/**
 * What all commands have in common: how they are made, their shared options, and how an action runs and fails.
 */
import { resolve } from 'node:path';
import { Command, Option } from '@commander-js/extra-typings';
import { exitCodeOf, usageFailure } from './failure.ts';
import { createOutput, type Output } from './output.ts';

/** Makes a command that throws instead of ending the process; `examples` stand below its help. */
export function createCommand(name: string, description: string, examples: readonly string[]): Command {
  const command = new Command(name).description(description).exitOverride().configureOutput(QUIET_ERRORS);
  if (examples.length === 0) return command;
  // An indented one goes on with the line before it.
  const lines = examples.map((example) => `  ${example.startsWith(' ') ? ' ' : '$'} ${example}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}\n`);
}

/** Commander's own error text is not printed: main.ts prints every failure the same way. */
const QUIET_ERRORS = { writeErr: () => {} };

/** `--json`, for every command. */
export const jsonOption = () => new Option('--json', 'print one JSON object on standard output, all else on stderr');

/** `--dir`, for every command that talks to a node or starts one. */
export const dirOption = () =>
  new Option('--dir <folder>', 'state folder of the node').env('ARCA_DIR').default('./.arca');

/** `--url`, for commands that may talk to a node elsewhere. */
export const urlOption = () => new Option('--url <url>', 'gRPC address of a node, instead of the one on --dir');

/** `--public-url`, where public material is fetched. */
export const publicUrlOption = () =>
  new Option('--public-url <url>', 'address of the public material, e.g. http://127.0.0.1:9000/kms/PUB');

/** `--client-cert`: who the caller is, where a node asks for it. */
export const clientCertOption = () =>
  new Option('--client-cert <file>', 'PEM certificate that says who you are, for nodes that ask for one');

/** `--client-key`. */
export const clientKeyOption = () => new Option('--client-key <file>', 'PEM private key of --client-cert');

/** `--ca`. */
export const caOption = () =>
  new Option('--ca <file>', "PEM authorities that may have signed the node's certificate; those of Node if absent");

/** Makes a command that talks to a node: where the node is, who the caller is, `--json`. */
export const createNodeCommand = (name: string, description: string, examples: readonly string[]) =>
  createCommand(name, description, examples)
    .addOption(dirOption())
    .addOption(urlOption())
    .addOption(clientCertOption())
    .addOption(clientKeyOption())
    .addOption(caOption())
    .addOption(jsonOption());

/** `--params`: the FHE parameter set. */
export const paramsOption = () =>
  new Option('--params <set>', 'FHE parameters: test (fast, NOT secure) or default (production)').choices([
    'test',
    'default',
  ] as const);

/** Reads the port of an option: 0 (any free one) to 65535. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw usageFailure(`'${text}' is no port`, 'give a number of 0 (any free one) to 65535');
  }
  return port;
}

/** Returns the absolute path of a folder option. */
export function absoluteDir(dir: string): string {
  return resolve(dir);
}

/**
 * Runs the body of a command with its output. A failure is printed with cause and cure and sets the exit code;
 * nothing is thrown on.
 */
export async function runAction(
  options: { readonly json?: true | undefined },
  body: (output: Output) => Promise<void>,
): Promise<void> {
  const output = createOutput({ json: options.json === true });
  try {
    await body(output);
  } catch (error) {
    output.failure(error);
    process.exitCode = exitCodeOf(error);
  }
}
