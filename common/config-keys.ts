/**
 * What a configuration schema says about its own keys: the source of `arca config explain`, of environment
 * overrides and of the nearest known key in messages.
 */
import { z } from 'zod';

/** One key of a configuration, as its schema describes it. */
export interface ConfigKey {
  /** From the outermost table: `['service', 'listen_port']`. */
  readonly path: readonly string[];
  /** What its value is; `table` for a section, `unavailable` for a published key that this release refuses. */
  readonly kind: 'table' | 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'unavailable';
  /** What it means, in a sentence. */
  readonly description: string;
  /** Whether the configuration is refused without it. */
  readonly required: boolean;
  /** Value that stands in when it is absent. */
  readonly default?: unknown;
  /** Values it may have, where they are few. */
  readonly choices?: readonly string[];
  /** Whether its value is blotted out where the configuration is shown to others. */
  readonly sensitive: boolean;
}

/** The part of JSON Schema that zod writes for a configuration. */
const Node = z.looseObject({
  type: z.string().optional(),
  description: z.string().optional(),
  default: z.unknown().optional(),
  enum: z.array(z.unknown()).optional(),
  not: z.unknown().optional(),
  sensitive: z.boolean().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  required: z.array(z.string()).optional(),
});

/**
 * Returns every table and key of a schema in the order written there, each table before its keys.
 *
 * @example
 * explainConfig(z.strictObject({ port: z.int().default(1).describe('Where to listen.') }));
 * // [{ path: ['port'], kind: 'integer', description: 'Where to listen.', required: false, default: 1, … }]
 */
export function explainConfig(schema: z.ZodType): ConfigKey[] {
  return walk(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }), []);
}

function walk(schema: unknown, path: readonly string[]): ConfigKey[] {
  const node = Node.parse(schema);
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const inner = Node.parse(child);
    const here = [...path, name];
    const kind = kindOf(inner);
    const key: ConfigKey = {
      path: here,
      kind,
      description: inner.description ?? '',
      required: node.required?.includes(name) ?? false,
      ...(kind === 'table' || inner.default === undefined ? {} : { default: inner.default }),
      ...(inner.enum ? { choices: inner.enum.map(String) } : {}),
      sensitive: inner.sensitive ?? false,
    };
    return [key, ...walk(child, here)];
  });
}

function kindOf(node: z.infer<typeof Node>): ConfigKey['kind'] {
  if (node.not !== undefined) return 'unavailable';
  switch (node.type) {
    case 'object':
      return 'table';
    case 'integer':
    case 'number':
    case 'boolean':
    case 'array':
      return node.type;
    default:
      return 'string';
  }
}
