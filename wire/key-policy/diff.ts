/**
 * In what two key policies differ, statement by statement. Pure; the texts may be anybody's.
 */
import { KmsError } from '../../common/errors.ts';
import { keyPolicyHash, readPolicyText } from './policy-text.ts';

/** One thing that one of two policies says and the other does not. */
export interface PolicyDifference {
  /** The statement's Sid, or `#` and its place; undefined for the policy as a whole. */
  readonly statement: string | undefined;
  /** Where it stands: `Action`, `Condition.StringEqualsIgnoreCase.kms:RecipientAttestation:PCR0`. */
  readonly field: string;
  readonly value: string;
  /** Which policy alone says it. */
  readonly only: 'first' | 'second';
}

interface Fact {
  readonly statement: string | undefined;
  readonly field: string;
  readonly value: string;
}

/**
 * Returns what differs; an empty list exactly where both have one hash (`keyPolicyHash`).
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for a text that is no plain policy.
 */
export function diffKeyPolicies(first: string, second: string): readonly PolicyDifference[] {
  if (Buffer.compare(keyPolicyHash(first), keyPolicyHash(second)) === 0) return [];
  const [left, right] = [factsOf(first), factsOf(second)];
  const found = [
    ...without(left, right).map((fact): PolicyDifference => ({ ...fact, only: 'first' })),
    ...without(right, left).map((fact): PolicyDifference => ({ ...fact, only: 'second' })),
  ];
  if (found.length > 0) return found.sort(byPlace);
  // Lists within lists, which no policy of AWS has: the same facts, grouped in another way.
  throw new KmsError('REQUEST_INVALID', 'the policies differ in a way that cannot be shown line by line');
}

/** Every value of a policy with its place, in no order that matters. */
function factsOf(text: string): readonly Fact[] {
  readPolicyText(text);
  const policy: unknown = JSON.parse(text);
  const { Id: _, Statement: list, ...rest } = fieldsOf(policy);
  const statements: readonly unknown[] = Array.isArray(list) ? list : [list];
  const names = new Map<string, number>();
  const inside = statements.flatMap((statement, index) => {
    const { Sid: sid, ...fields } = fieldsOf(statement);
    const name = typeof sid === 'string' && sid !== '' ? sid : `#${index + 1}`;
    const times = (names.get(name) ?? 0) + 1;
    names.set(name, times);
    return valuesOf(fields, times === 1 ? name : `${name} (${times})`, '');
  });
  return [...valuesOf(rest, undefined, ''), ...inside];
}

function valuesOf(value: unknown, statement: string | undefined, field: string): readonly Fact[] {
  if (Array.isArray(value)) return value.flatMap((item: unknown) => valuesOf(item, statement, field));
  if (typeof value !== 'object' || value === null) return [{ statement, field, value: String(value) }];
  return Object.entries(value).flatMap(([name, item]) =>
    valuesOf(item, statement, field === '' ? name : `${field}.${name}`),
  );
}

/** Those of the first list that the second does not have, one for one. */
function without(these: readonly Fact[], those: readonly Fact[]): readonly Fact[] {
  const counts = new Map<string, number>();
  for (const fact of those) counts.set(keyOf(fact), (counts.get(keyOf(fact)) ?? 0) + 1);
  return these.filter((fact) => {
    const left = counts.get(keyOf(fact)) ?? 0;
    counts.set(keyOf(fact), left - 1);
    return left <= 0;
  });
}

const keyOf = ({ statement, field, value }: Fact): string => JSON.stringify([statement ?? null, field, value]);

function byPlace(a: PolicyDifference, b: PolicyDifference): number {
  const [left, right] = [a, b].map(({ statement = '', field, only }) => `${statement}\u0000${field}\u0000${only}`);
  return (left ?? '') < (right ?? '') ? -1 : 1;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}
