/**
 * Conditions of policy statements: all operators of AWS for texts, ARNs, truth values, numbers, dates and presence, with
 * `IfExists`, `ForAnyValue:` and `ForAllValues:`, and what each makes of a key that the request does not have.
 */
import { matchesWildcard } from '../../wire/key-policy/wildcard.ts';
import { malformedPolicy } from './aws-error.ts';
import { isObject } from './fields.ts';

/** One line of a `Condition` block. */
export interface Condition {
  readonly operator: Operator;
  readonly key: string;
  readonly values: readonly string[];
}

interface Operator {
  readonly name: string;
  readonly base: string;
  readonly ifExists: boolean;
  readonly set: 'any' | 'all' | undefined;
}

/** What a request says of itself: values by key in lower case. A key that is absent here is absent for conditions. */
export type RequestContext = ReadonlyMap<string, readonly string[]>;

type Test = (actual: string, expected: string) => boolean;

const asNumber =
  (test: (a: number, b: number) => boolean): Test =>
  (a, b) =>
    test(Number(a), Number(b));
const asDate =
  (test: (a: number, b: number) => boolean): Test =>
  (a, b) =>
    test(instantOf(a), instantOf(b));

/** Operators that hold when one of the values fits. */
const POSITIVE: Readonly<Record<string, Test>> = {
  StringEquals: (actual, expected) => actual === expected,
  StringEqualsIgnoreCase: (actual, expected) => actual.toLowerCase() === expected.toLowerCase(),
  StringLike: (actual, expected) => matchesWildcard(expected, actual),
  ArnEquals: arnLike,
  ArnLike: arnLike,
  Bool: (actual, expected) => actual.toLowerCase() === expected.toLowerCase(),
  NumericEquals: asNumber((a, b) => a === b),
  NumericLessThan: asNumber((a, b) => a < b),
  NumericLessThanEquals: asNumber((a, b) => a <= b),
  NumericGreaterThan: asNumber((a, b) => a > b),
  NumericGreaterThanEquals: asNumber((a, b) => a >= b),
  DateEquals: asDate((a, b) => a === b),
  DateLessThan: asDate((a, b) => a < b),
  DateLessThanEquals: asDate((a, b) => a <= b),
  DateGreaterThan: asDate((a, b) => a > b),
  DateGreaterThanEquals: asDate((a, b) => a >= b),
};

/** Operators that hold when none of the values fits, and the one that they deny. */
const NEGATED: Readonly<Record<string, string>> = {
  StringNotEquals: 'StringEquals',
  StringNotEqualsIgnoreCase: 'StringEqualsIgnoreCase',
  StringNotLike: 'StringLike',
  ArnNotEquals: 'ArnEquals',
  ArnNotLike: 'ArnLike',
  NumericNotEquals: 'NumericEquals',
  DateNotEquals: 'DateEquals',
};

const NULL = 'Null';

/** Reads a `Condition` block. @throws AwsError `MalformedPolicyDocumentException`. */
export function readConditions(value: unknown, o: { readonly variables: boolean }): readonly Condition[] {
  if (value === undefined) return [];
  if (!isObject(value)) throw malformedPolicy('Syntax errors in policy.');
  return Object.entries(value).flatMap(([name, block]) => {
    const operator = readOperator(name);
    if (!isObject(block)) throw malformedPolicy('Syntax errors in policy.');
    return Object.entries(block).map(([key, item]): Condition => {
      const list: readonly unknown[] = Array.isArray(item) ? item : [item];
      const values = list.map((one) => textOf(one));
      if (o.variables && values.some((one) => one.includes('${'))) {
        throw malformedPolicy('Policy variables are not emulated.');
      }
      return { operator, key: key.toLowerCase(), values };
    });
  });
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || typeof value === 'number') return String(value);
  throw malformedPolicy('Syntax errors in policy.');
}

function readOperator(name: string): Operator {
  const [prefix, rest] = name.includes(':') ? name.split(':', 2) : [undefined, name];
  const set = prefix === 'ForAnyValue' ? 'any' : prefix === 'ForAllValues' ? 'all' : undefined;
  if (prefix !== undefined && set === undefined)
    throw malformedPolicy(`Invalid Condition type : ${name.slice(0, 64)}.`);
  const ifExists = rest?.endsWith('IfExists') === true;
  const base = ifExists ? (rest?.slice(0, -'IfExists'.length) ?? '') : (rest ?? '');
  const isKnown = Object.hasOwn(POSITIVE, base) || Object.hasOwn(NEGATED, base) || (base === NULL && !ifExists);
  if (!isKnown) throw malformedPolicy(`Invalid Condition type : ${name.slice(0, 64)}.`);
  return { name, base, ifExists, set };
}

/** Returns whether all conditions hold. */
export function conditionsHold(conditions: readonly Condition[], context: RequestContext): boolean {
  return conditions.every((condition) => holds(condition, context.get(condition.key)));
}

function holds({ operator, values }: Condition, actual: readonly string[] | undefined): boolean {
  const { base, ifExists, set } = operator;
  if (base === NULL) return values.some((value) => (value.toLowerCase() === 'true') === (actual === undefined));
  const isNegated = Object.hasOwn(NEGATED, base);
  if (actual === undefined || actual.length === 0) {
    // Nothing is among nothing: `ForAllValues` holds. `ForAnyValue` needs one. Denials hold of what is not there.
    if (set === 'all' || ifExists) return true;
    return set === undefined && isNegated;
  }
  const test = POSITIVE[isNegated ? (NEGATED[base] ?? base) : base];
  if (test === undefined) return false;
  const fits = (one: string): boolean => values.some((value) => test(one, value)) !== isNegated;
  return set === 'all' || (set === undefined && isNegated) ? actual.every(fits) : actual.some(fits);
}

/** ARNs match part by part; a star does not reach over a colon. */
function arnLike(actual: string, expected: string): boolean {
  const split = (arn: string): readonly string[] => {
    const parts = arn.split(':');
    return parts.length <= 6 ? parts : [...parts.slice(0, 5), parts.slice(5).join(':')];
  };
  const parts = split(actual);
  const patterns = split(expected);
  if (patterns.length === 1 && expected === '*') return true;
  return parts.length === patterns.length && parts.every((part, index) => matchesWildcard(patterns[index] ?? '', part));
}

function instantOf(text: string): number {
  return /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text);
}
