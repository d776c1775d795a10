/**
 * Runs CLI scripts written as text. A script is a list of commands with what they must do:
 *
 *   $ arca version --json        the command; $NAME is replaced from the script's variables
 *   exit 0                       its exit code (0 if the line is absent)
 *   json {"name":"arca"}         standard output is one JSON object that contains this
 *   stdout /^arca /              standard output matches; `!stdout` must not
 *   stderr /ready/               standard error matches; `!stderr` must not
 *   save ID keyId                keeps a member of the JSON object as $ID
 *
 * Lines with `#` in front and empty lines are for readers.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

/** The part of tap that is used. */
interface Assert {
  equal(found: unknown, wanted: unknown, message: string): boolean;
  match(found: unknown, wanted: unknown, message: string): boolean;
  notMatch(found: unknown, wanted: unknown, message: string): boolean;
  comment(text: string): void;
}

/** What a command did. */
export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const LAUNCHER = fileURLToPath(new URL('../../bin/arca', import.meta.url));

/** Runs `arca` with arguments, without a terminal. */
export async function runArca(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<CommandResult> {
  const child = spawn(LAUNCHER, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { stdout, stderr, code };
}

/** Runs a script file. @returns The variables, with those that the script saved. */
export async function runCliScript(
  t: Assert,
  file: URL,
  variables: Readonly<Record<string, string>> = {},
): Promise<Readonly<Record<string, string>>> {
  const known: Record<string, string> = { ...variables };
  for (const { line, command, checks } of parseScript(readFileSync(file, 'utf8'))) {
    const fill = (part: string) => part.replace(/\$([A-Z_]+)/g, (whole, name: string) => known[name] ?? whole);
    const args = splitWords(command).map(fill).slice(1);
    const result = await runArca(args);
    const wanted = checks.find(([kind]) => kind === 'exit')?.[1] ?? '0';
    const label = `line ${line}: ${command}`;
    const ok = t.equal(result.code, Number(wanted), `${label}: exit code`);
    if (!ok) t.comment(`${result.stdout}\n${result.stderr}`);
    for (const [kind, value] of checks) check(t, { kind, value: fill(value), label, result, known });
  }
  return known;
}

interface CheckContext {
  readonly kind: string;
  readonly value: string;
  readonly label: string;
  readonly result: CommandResult;
  readonly known: Record<string, string>;
}

function check(t: Assert, { kind, value, label, result, known }: CheckContext): void {
  switch (kind) {
    case 'exit':
      return;
    case 'json': {
      t.equal(result.stdout.trimEnd().split('\n').length, 1, `${label}: one line on standard output`);
      t.match(JSON.parse(result.stdout), JSON.parse(value), `${label}: JSON`);
      return;
    }
    case 'save': {
      const [name = '', member = ''] = value.split(' ');
      known[name] = String(JSON.parse(result.stdout)[member]);
      return;
    }
    default: {
      const stream = kind.endsWith('stdout') ? result.stdout : result.stderr;
      const pattern = new RegExp(value.slice(1, value.lastIndexOf('/')), 'm');
      if (kind.startsWith('!')) t.notMatch(stream, pattern, `${label}: ${kind}`);
      else t.match(stream, pattern, `${label}: ${kind}`);
    }
  }
}

interface ScriptCommand {
  readonly line: number;
  readonly command: string;
  readonly checks: [kind: string, value: string][];
}

function parseScript(script: string): ScriptCommand[] {
  const commands: ScriptCommand[] = [];
  script.split('\n').forEach((text, index) => {
    if (text.trim() === '' || text.startsWith('#')) return;
    if (text.startsWith('$ ')) {
      commands.push({ line: index + 1, command: text.slice(2), checks: [] });
      return;
    }
    const [, kind = '', value = ''] = /^(exit|json|!?stdout|!?stderr|save) (.*)$/.exec(text) ?? [];
    if (kind === '') throw new Error(`line ${index + 1} is no line of a CLI script: ${text}`);
    commands.at(-1)?.checks.push([kind, value]);
  });
  return commands;
}

/** Splits at spaces; single quotes keep a word together. */
function splitWords(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? '');
}
