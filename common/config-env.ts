/**
 * Environment overrides of a configuration: `KMS_CORE__SERVICE__LISTEN_PORT=50100` sets `listen_port` in
 * `[service]`. Lists are divided by commas. Spec: docs of the published KMS, section 9.1.
 */
import type { ConfigKey } from './config-keys.ts';

/** What every override's name begins with. */
export const ENV_PREFIX = 'KMS_CORE__';

/** A configuration as TOML has it, before any check. */
export interface ConfigTable {
  [key: string]: unknown;
}

/** One override: the variable, the key it sets, and the value in the key's own type where it could be read so. */
export interface Override {
  readonly variable: string;
  readonly path: readonly string[];
  readonly value: unknown;
}

/** Returns the overrides in an environment, in the order of their names. Their keys are not checked here. */
export function readOverrides(
  env: Readonly<Record<string, string | undefined>>,
  keys: readonly ConfigKey[],
): Override[] {
  const kinds = new Map(keys.map((key) => [key.path.join('\0'), key.kind]));
  return Object.keys(env)
    .filter((name) => name.startsWith(ENV_PREFIX) && env[name] !== undefined)
    .sort()
    .map((variable) => {
      const path = variable.slice(ENV_PREFIX.length).toLowerCase().split('__');
      return { variable, path, value: readValue(env[variable] ?? '', kinds.get(path.join('\0'))) };
    });
}

/**
 * Returns the table with the overrides laid over it; the table itself stays as it is.
 *
 * An override below something that is not a table takes its place: the schema then judges the result.
 */
export function applyOverrides(table: ConfigTable, overrides: readonly Override[]): ConfigTable {
  return overrides.reduce<ConfigTable>((result, { path, value }) => withValue(result, path, value), table);
}

function withValue(table: ConfigTable, path: readonly string[], value: unknown): ConfigTable {
  const [first = '', ...rest] = path;
  const there = Object.hasOwn(table, first) ? table[first] : undefined;
  const inner = rest.length === 0 ? value : withValue(isTable(there) ? there : {}, rest, value);
  // A literal key, so that `__proto__` in a variable's name stays a key like any other.
  return Object.fromEntries([...Object.entries(table).filter(([name]) => name !== first), [first, inner]]);
}

/** Returns the value at a path through tables and lists, or undefined if anything on the way is absent. */
export function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((inner, part) => {
    const name = String(part);
    if (Array.isArray(inner)) return inner[Number(name)];
    return isTable(inner) && Object.hasOwn(inner, name) ? inner[name] : undefined;
  }, value);
}

/** Returns whether a value is a table, that is, no list, date or scalar. */
export function isTable(value: unknown): value is ConfigTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Reads the text in the type of its key; what cannot be read so stays text, and the schema names the fault. */
function readValue(text: string, kind: ConfigKey['kind'] | undefined): unknown {
  switch (kind) {
    case 'boolean':
      if (text === 'true') return true;
      return text === 'false' ? false : text;
    case 'integer':
    case 'number':
      return /^[+-]?\d[\d_]*(\.\d+)?$/.test(text) ? Number(text.replaceAll('_', '')) : text;
    case 'array':
      return text === '' ? [] : text.split(',').map((part) => part.trim());
    default:
      return text;
  }
}
