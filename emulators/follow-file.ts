/**
 * A file of rules that is read again whenever it changes, and need not be there: with it one sees, on an emulator that runs, what
 * a node does while AWS fails.
 */
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';

/**
 * Returns what asks for the rules in force. A file that cannot be read leaves those before it, and is told.
 *
 * @param tell - Gets a line for the log, at each change.
 */
export function followRules<T>(path: string, rule: z.ZodType<T>, tell: (line: object) => void): () => readonly T[] {
  const schema = z.array(rule);
  let rules: readonly T[] = [];
  let seen = '';
  return () => {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    const version = stat === undefined ? '' : `${stat.ino} ${stat.mtimeNs} ${stat.size}`;
    if (version === seen) return rules;
    seen = version;
    try {
      rules = stat === undefined ? [] : schema.parse(JSON.parse(readFileSync(path, 'utf8')));
      tell({ event: 'faults.read', file: path, rules: rules.length });
    } catch (error) {
      const why = error instanceof z.ZodError ? z.prettifyError(error) : 'it cannot be read as JSON';
      tell({ event: 'faults.refused', file: path, why });
    }
    return rules;
  };
}
