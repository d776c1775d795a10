/**
 * Explains the keys of a node's configuration out of its schema: type, default, choices, environment variable.
 */
import { type ConfigKey, explainConfig } from '../../../common/config.ts';
import { nearest } from '../../../common/nearest.ts';
import { NodeConfig } from '../../../common/node-config.ts';
import { failure } from '../framework/failure.ts';

/** A key as it is shown: its dotted name and the variable that overrides it. */
export interface ExplainedKey extends Omit<ConfigKey, 'path'> {
  readonly name: string;
  /** Absent for sections, which no variable sets. */
  readonly variable?: string;
}

/**
 * Returns the keys at or below a dotted name, all of them without one.
 *
 * @throws {@link KmsError} `NOT_FOUND` with the nearest known name.
 */
export function explainKeys(name?: string): ExplainedKey[] {
  const all = explainConfig(NodeConfig).map(explain);
  if (name === undefined) return all;
  const found = all.filter((key) => key.name === name || key.name.startsWith(`${name}.`));
  if (found.length > 0) return found;
  const near = nearest(
    name,
    all.map((key) => key.name),
  );
  const cure = near === undefined ? "'arca config explain' lists all" : `did you mean ${near}?`;
  throw failure('NOT_FOUND', `there is no configuration key '${name}'`, cure);
}

function explain({ path, ...key }: ConfigKey): ExplainedKey {
  const variable = key.kind === 'table' || key.kind === 'unavailable' ? {} : { variable: variableOf(path) };
  return { name: path.join('.'), ...key, ...variable };
}

function variableOf(path: readonly string[]): string {
  return ['KMS_CORE', ...path.map((part) => part.toUpperCase())].join('__');
}

/** Returns the keys as text: sections as headings, a key a paragraph. */
export function describeKeys(keys: readonly ExplainedKey[]): string {
  const lines = keys.map((key) => {
    if (key.kind === 'table') return `\n[${key.name}]  ${key.description}`;
    if (key.kind === 'unavailable') return `  ${key.name}: ${key.description}`;
    const choices = key.choices ? `, one of ${key.choices.join(' | ')}` : '';
    const value = key.required ? 'required' : `default ${JSON.stringify(key.default) ?? 'none'}`;
    return `  ${key.name} (${key.kind}${choices}; ${value})\n      ${key.description}\n      ${key.variable ?? ''}`;
  });
  return lines.join('\n').replace(/^\n/, '');
}
