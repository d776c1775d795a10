/** Returns a value that a test knows to be there; throws if it is not. */
export function present<T>(value: T | undefined, what = 'value'): T {
  if (value === undefined) throw new Error(`missing: ${what}`);
  return value;
}
