/**
 * The text of a key policy: read strictly, brought into one form, hashed. What two readers could understand differently
 * (a name given twice, letters written as escapes, unknown fields) is refused. Hostile input; nothing is secret.
 */
import { createHash } from 'node:crypto';
import { KmsError } from '../../common/errors.ts';

/** One statement, every list a list. */
export interface PolicyStatement {
  readonly sid: string;
  readonly effect: string;
  /** Kinds of principals to who they are; `undefined` where the statement names none in the ordinary way. */
  readonly principals: ReadonlyMap<string, readonly string[]> | undefined;
  readonly actions: readonly string[] | undefined;
  readonly resources: readonly string[] | undefined;
  readonly conditions: readonly PolicyCondition[];
  /** Names of fields that a plain statement does not have: `NotPrincipal`, `NotAction`, anything unknown. */
  readonly otherFields: readonly string[];
}

/** One line of a `Condition` block. */
export interface PolicyCondition {
  readonly operator: string;
  /** In lower case: AWS compares names of keys so. */
  readonly key: string;
  readonly values: readonly string[];
}

/** A policy. */
export interface PolicyText {
  readonly version: string | undefined;
  readonly statements: readonly PolicyStatement[];
  readonly otherFields: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

const MAX_CHARACTERS = 131_072;
/** Our own tag: no published hash begins with it. */
const TAG = 'ARCAPOLI';
const PLAIN_FIELDS = ['Sid', 'Effect', 'Principal', 'Action', 'Resource', 'Condition'];

const refuse = (why: string): KmsError =>
  new KmsError('REQUEST_INVALID', `not a key policy that can be judged: ${why}`);
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Reads a policy.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for text that is not JSON of a policy's shape, or not in plain form.
 */
export function readPolicyText(text: string): PolicyText {
  const value = parsePlain(text);
  if (!isFields(value)) throw refuse('it is no JSON object');
  const { Version: version, Id: id, Statement: list, ...rest } = value;
  if (version !== undefined && typeof version !== 'string') throw refuse('its version is no text');
  if (id !== undefined && typeof id !== 'string') throw refuse('its id is no text');
  const statements: readonly unknown[] = Array.isArray(list) ? list : [list];
  return { version, statements: statements.map(readStatement), otherFields: Object.keys(rest) };
}

/** JSON without names given twice: what is parsed, written again, must be what was read, white space aside. */
function parsePlain(text: string): unknown {
  if (text.length > MAX_CHARACTERS) throw refuse('it is too long');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('it is not JSON');
  }
  const bare = text.replaceAll(/"(?:[^"\\]|\\.)*"|\s+/g, (part) => (part.startsWith('"') ? part : ''));
  if (JSON.stringify(value) !== bare) throw refuse('a name is given twice, or text is written in an unusual way');
  return value;
}

function readStatement(value: unknown, index: number): PolicyStatement {
  if (!isFields(value)) throw refuse(`statement ${index + 1} is no JSON object`);
  const where = `statement ${index + 1}`;
  const { Sid: sid, Effect: effect } = value;
  if (typeof effect !== 'string') throw refuse(`${where} has no effect`);
  return {
    sid: typeof sid === 'string' && sid !== '' ? sid : `#${index + 1}`,
    effect,
    principals: readPrincipals(value, where),
    actions: readTexts(value, 'Action', where),
    resources: readTexts(value, 'Resource', where),
    conditions: readConditions(value, where),
    otherFields: Object.keys(value).filter((name) => !PLAIN_FIELDS.includes(name)),
  };
}

function readPrincipals({ Principal: value }: Fields, where: string): PolicyStatement['principals'] {
  if (value === undefined) return undefined;
  if (value === '*') return new Map([['AWS', ['*']]]);
  if (!isFields(value)) throw refuse(`${where} has principals of no known form`);
  return new Map(Object.keys(value).map((kind) => [kind, readTexts(value, kind, where) ?? []]));
}

function readConditions({ Condition: value }: Fields, where: string): readonly PolicyCondition[] {
  if (value === undefined) return [];
  if (!isFields(value)) throw refuse(`${where} has conditions of no known form`);
  return Object.entries(value).flatMap(([operator, block]) => {
    if (!isFields(block)) throw refuse(`${where} has conditions of no known form`);
    return Object.keys(block).map((key) => ({
      operator,
      key: key.toLowerCase(),
      values: readTexts(block, key, where) ?? [],
    }));
  });
}

function readTexts(fields: Fields, name: string, where: string): readonly string[] | undefined {
  const value = fields[name];
  if (value === undefined) return undefined;
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.map((item) => {
    if (typeof item === 'string') return item;
    if (typeof item === 'boolean' || typeof item === 'number') return String(item);
    throw refuse(`${where} has a ${name} that is no text`);
  });
}

/**
 * Returns the SHA-384 by which engines name a policy to each other: the same for texts that differ in white space, in the
 * order of statements, names and list items, and in whether a list of one is written as a list.
 *
 * @throws {@link KmsError} `REQUEST_INVALID`, as {@link readPolicyText}.
 */
export function keyPolicyHash(text: string): Uint8Array {
  readPolicyText(text);
  const value: unknown = JSON.parse(text);
  const { Id: _, ...body } = isFields(value) ? value : {};
  return new Uint8Array(
    createHash('sha384')
      .update(`${TAG}${JSON.stringify(canonical(body))}`)
      .digest(),
  );
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => JSON.stringify(canonical(item))).sort();
    const [only] = items;
    return items.length === 1 && only !== undefined ? JSON.parse(only) : items;
  }
  if (!isFields(value)) return value;
  const names = Object.keys(value).sort();
  return Object.fromEntries(names.map((name) => [name, canonical(value[name])]));
}
