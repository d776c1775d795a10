/**
 * What a command says, and where.
 *
 * Standard output carries the result alone: text for people, or with `--json` exactly one JSON object.
 * Everything else (progress, notices, warnings) goes to standard error, so results can be piped.
 */
import { describeFailure } from './failure.ts';
import { createProgress, type Progress, type TextSink } from './progress.ts';

/** Where a command writes. */
export interface Output {
  readonly json: boolean;
  /** A line for people, on standard error. */
  note(text: string): void;
  /** A line that must not be overlooked, on standard error. */
  warn(text: string): void;
  /** A running step: a bar on a terminal, plain lines elsewhere. Always end it. */
  progress(label: string): Progress;
  /** The result, once per command: `value` under `--json`, `text` otherwise. */
  result(value: unknown, text: string): void;
  /** The failure of the command: an `error` object under `--json` (unless a result was written), text on standard error. */
  failure(error: unknown): void;
}

/** Settings of {@link createOutput}. */
export interface OutputOptions {
  readonly json: boolean;
  readonly stdout?: TextSink;
  readonly stderr?: TextSink;
}

/** Returns the JSON text of a result: bigints as decimal text, bytes as hex. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return item.toString();
    if (item instanceof Uint8Array) return Buffer.from(item).toString('hex');
    return item;
  });
}

/** Creates the output of one command run. */
export function createOutput({ json, stdout = process.stdout, stderr = process.stderr }: OutputOptions): Output {
  const colour = stderr.isTTY === true && process.env.NO_COLOR === undefined;
  const paint = (code: number, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  let written = false;
  return {
    json,
    note: (text) => void stderr.write(`${text}\n`),
    warn: (text) => void stderr.write(`${paint(33, `warning: ${text}`)}\n`),
    progress: (label) => createProgress(label, stderr),
    result: (value, text) => {
      written = true;
      if (json) stdout.write(`${toJson(value)}\n`);
      else if (text !== '') stdout.write(text.endsWith('\n') ? text : `${text}\n`);
    },
    failure: (error) => {
      const report = describeFailure(error);
      if (json && !written) stdout.write(`${toJson({ error: report })}\n`);
      stderr.write(`${paint(31, `error: ${report.message}`)}\n`);
      for (const cause of report.causes) stderr.write(labelled('cause', cause));
      if (report.cure !== undefined) stderr.write(labelled('cure', report.cure));
    },
  };
}

/** Further lines of a text stand below its first. */
function labelled(label: string, text: string): string {
  const head = `  ${label}: `;
  return `${head}${text.replaceAll('\n', `\n${' '.repeat(head.length)}`)}\n`;
}
