/** Asserts on refusals of requests. */
import type { Test } from 'tap';

/** Checks that parsing fails with `REQUEST_INVALID` and names the field. */
export function refuses(t: Test, field: string, parse: () => unknown, why = field): void {
  t.throws(parse, { code: 'REQUEST_INVALID', facts: { field } }, why);
}
