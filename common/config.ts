/**
 * The one configuration loader: TOML, then environment overrides, then a schema that refuses unknown keys.
 *
 * Every fault is reported at once, with its line (or variable), its field and the nearest known key. Values are
 * never repeated in a message: a password may stand in the wrong place.
 */
import { readFileSync } from 'node:fs';
import { parse as parseToml, TomlError } from 'smol-toml';
import type { z } from 'zod';
import { applyOverrides, type ConfigTable, isTable, type Override, readOverrides, valueAt } from './config-env.ts';
import { type ConfigKey, explainConfig } from './config-keys.ts';
import { KmsError, systemErrorCode } from './errors.ts';
import { nearest } from './nearest.ts';
import { lineOf, type TomlLines, tomlLines } from './toml-lines.ts';

export { type ConfigKey, explainConfig } from './config-keys.ts';

/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads and checks a configuration file.
 *
 * @param file - Path of the TOML file.
 * @param env - Where overrides `KMS_CORE__A__B` are taken from.
 * @throws {@link KmsError} `CONFIG_INVALID` listing every fault, a line each; also if the file cannot be read.
 */
export function loadConfig<S extends z.ZodType>(
  schema: S,
  { file, env }: { readonly file: string; readonly env: Environment },
): z.output<S> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = systemErrorCode(error) ?? 'unknown';
    const why = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`;
    throw new KmsError('CONFIG_INVALID', `configuration ${file}: ${why}`, { cause: code }, error);
  }
  return parseConfig(schema, { text, env, name: file });
}

/**
 * Checks a configuration given as text. `name` stands for the file in messages.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` listing every fault, a line each.
 */
export function parseConfig<S extends z.ZodType>(
  schema: S,
  { text, env, name }: { readonly text: string; readonly env: Environment; readonly name: string },
): z.output<S> {
  const table = readToml(text, name);
  const keys = explainConfig(schema);
  const overrides = readOverrides(env, keys);
  const input = withSections(applyOverrides(table, overrides), keys);
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const place = placer(tomlLines(text), overrides);
  const faults = parsed.error.issues.flatMap((issue) => describeIssue(issue, input, keys, place));
  faults.sort((a, b) => a.order - b.order);
  const count = `${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}`;
  const lines = faults.map((fault) => `  ${fault.where}: ${fault.what}`);
  throw new KmsError('CONFIG_INVALID', [`configuration ${name}: ${count}`, ...lines].join('\n'), {
    faults: faults.length,
  });
}

/**
 * Returns a configuration fit to be shown to others: values whose key the schema marks `sensitive` are blotted out.
 */
export function redactConfig(schema: z.ZodType, config: unknown): unknown {
  const hidden = new Set(
    explainConfig(schema)
      .filter((key) => key.sensitive)
      .map((key) => key.path.join('\0')),
  );
  const walk = (value: unknown, path: readonly string[]): unknown => {
    if (hidden.has(path.join('\0'))) return '[redacted]';
    if (!isTable(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, walk(inner, [...path, key])]));
  };
  return walk(config, []);
}

function readToml(text: string, name: string): ConfigTable {
  try {
    return parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The rest of the library's message quotes the file.
    const what = error.message.split('\n')[0]?.replace('Invalid TOML document: ', '') ?? 'not TOML';
    throw new KmsError(
      'CONFIG_INVALID',
      `configuration ${name}: 1 fault\n  line ${error.line}, column ${error.column}: not valid TOML: ${what}`,
      { line: error.line, faults: 1 },
    );
  }
}

/** Adds required tables that are missing, so that the keys missing in them are named one by one. */
function withSections(table: ConfigTable, keys: readonly ConfigKey[]): ConfigTable {
  return keys
    .filter((key) => key.kind === 'table' && key.required)
    .reduce((result, { path }) => {
      // Below a section that is not there nothing is missing.
      const outer = valueAt(result, path.slice(0, -1));
      const absent = isTable(outer) && valueAt(result, path) === undefined;
      return absent ? applyOverrides(result, [{ variable: '', path, value: {} }]) : result;
    }, table);
}

interface Fault {
  readonly where: string;
  readonly what: string;
  readonly order: number;
}

type Placer = (path: readonly PropertyKey[]) => { where: string; order: number };

/** Says where a field was set: by a variable, on a line, or nowhere. */
function placer(lines: TomlLines, overrides: readonly Override[]): Placer {
  return (path) => {
    const name = path.map(String).join('.') || '(whole file)';
    const override = overrides.find(({ path: set }) => path.every((part, index) => set[index] === part));
    if (override && lines.get(path.map(String).join('\0')) === undefined) {
      return { where: `${override.variable}: ${name}`, order: Number.MAX_SAFE_INTEGER };
    }
    const line = lineOf(lines, path);
    return line === undefined ? { where: name, order: 0 } : { where: `line ${line}: ${name}`, order: line };
  };
}

function describeIssue(issue: z.core.$ZodIssue, input: unknown, keys: readonly ConfigKey[], place: Placer): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const path = [...issue.path, key];
      return { ...place(path), what: unknownKey(path.map(String), keys) };
    });
  }
  return [{ ...place(issue.path), what: describeValue(issue, input, keys) }];
}

function describeValue(issue: z.core.$ZodIssue, input: unknown, keys: readonly ConfigKey[]): string {
  if (issue.code !== 'invalid_type' || issue.expected === 'never') return issue.message;
  const found = valueAt(input, issue.path);
  const wanted = issue.expected === 'object' ? 'table' : issue.expected;
  if (found !== undefined) return `needs ${withArticle(wanted)}, not ${withArticle(typeName(found))}`;
  const meaning = keys.find((key) => key.path.join('\0') === issue.path.join('\0'))?.description;
  return `is missing; needs ${withArticle(wanted)}${meaning ? `: ${meaning}` : ''}`;
}

/** Names the nearest key beside the unknown one, else where a key of that very name belongs. */
function unknownKey(path: readonly string[], keys: readonly ConfigKey[]): string {
  const table = path.slice(0, -1).join('\0');
  const name = path.at(-1) ?? '';
  const known = keys.filter((key) => key.kind !== 'unavailable');
  const siblings = known
    .filter((key) => key.path.slice(0, -1).join('\0') === table)
    .map((key) => key.path.at(-1) ?? '');
  const near = nearest(name, siblings);
  if (near !== undefined) return `unknown key; did you mean ${near}?`;
  const elsewhere = known.find((key) => key.path.at(-1) === name);
  if (elsewhere) return `unknown key here; did you mean ${elsewhere.path.join('.')}?`;
  return siblings.length === 0 ? 'unknown key' : `unknown key; known here: ${siblings.join(', ')}`;
}

function typeName(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (value instanceof Date) return 'date';
  return isTable(value) ? 'table' : typeof value;
}

function withArticle(word: string): string {
  const name = word === 'int' ? 'whole number' : word;
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`;
}
