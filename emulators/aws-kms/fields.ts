/**
 * Reads the fields of a JSON request and refuses as AWS does. Hostile input.
 */
import { AwsError, invalid } from './aws-error.ts';

/** A request's body. */
export type Fields = Readonly<Record<string, unknown>>;

/** Returns whether a value is a JSON object. */
export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const serialization = (): AwsError => new AwsError('SerializationException', 'The request is not as its schema says.');

/** Reads a body. @throws AwsError `SerializationException` for anything but a JSON object. */
export function readBody(body: Uint8Array): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw serialization();
  }
  if (!isObject(value)) throw serialization();
  return value;
}

const memberOf = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1);

/** Reads a text of bounded length; absent unless `required`. */
export function readText(fields: Fields, name: string, o: { max?: number; min?: number } = {}): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw serialization();
  const { min = 1, max = 2048 } = o;
  if (value.length < min)
    throw invalid(value, memberOf(name), `Member must have length greater than or equal to ${min}`);
  if (value.length > max) throw invalid(value, memberOf(name), `Member must have length less than or equal to ${max}`);
  return value;
}

/** Reads a text that must be there. */
export function needText(fields: Fields, name: string, o: { max?: number; min?: number } = {}): string {
  const value = readText(fields, name, o);
  if (value === undefined) throw invalid(null, memberOf(name), 'Member must not be null');
  return value;
}

/** Reads one word of a set. */
export function readWord<W extends string>(fields: Fields, name: string, words: readonly W[]): W | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  const word = words.find((known) => known === value);
  if (word !== undefined) return word;
  throw invalid(value, memberOf(name), `Member must satisfy enum value set: [${words.join(', ')}]`);
}

/** Reads base64 of bounded size. */
export function readBlob(fields: Fields, name: string, max: number): Uint8Array<ArrayBuffer> | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) throw serialization();
  const bytes = new Uint8Array(Buffer.from(value, 'base64'));
  if (bytes.length === 0) throw invalid('', memberOf(name), 'Member must have length greater than or equal to 1');
  if (bytes.length > max) throw invalid('', memberOf(name), `Member must have length less than or equal to ${max}`);
  return bytes;
}

/** Reads base64 that must be there. */
export function needBlob(fields: Fields, name: string, max: number): Uint8Array<ArrayBuffer> {
  const value = readBlob(fields, name, max);
  if (value === undefined) throw invalid(null, memberOf(name), 'Member must not be null');
  return value;
}

/** Reads a truth value; false when absent. */
export function readFlag(fields: Fields, name: string): boolean {
  const value = fields[name] ?? false;
  if (typeof value !== 'boolean') throw serialization();
  return value;
}

/** Reads a whole number within bounds. */
export function readNumber(fields: Fields, name: string, min: number, max: number): number | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value)) throw serialization();
  if (value < min) throw invalid(value, memberOf(name), `Member must have value greater than or equal to ${min}`);
  if (value > max) throw invalid(value, memberOf(name), `Member must have value less than or equal to ${max}`);
  return value;
}

/** Reads a list of words of a set. */
export function readWords<W extends string>(fields: Fields, name: string, words: readonly W[]): readonly W[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw invalid(null, memberOf(name), 'Member must not be null');
  return value.map((item: unknown) => {
    const word = words.find((known) => known === item);
    if (word === undefined) {
      throw invalid(
        item,
        memberOf(name),
        `Member must satisfy constraint: [Member must satisfy enum value set: [${words.join(', ')}]]`,
      );
    }
    return word;
  });
}

/** Longest encryption context, in bytes of all names and values. */
const MAX_CONTEXT_BYTES = 8192;

/** Pairs by name, sorted, as an encryption context is compared. */
export type EncryptionContext = ReadonlyMap<string, string>;

/** Reads pairs of texts; empty when absent. */
export function readContext(fields: Fields, name = 'EncryptionContext'): EncryptionContext {
  const value = fields[name] ?? {};
  if (!isObject(value)) throw serialization();
  const pairs = Object.entries(value).map(([key, item]): [string, string] => {
    if (typeof item !== 'string') throw serialization();
    return [key, item];
  });
  const size = pairs.reduce((sum, [key, item]) => sum + Buffer.byteLength(key) + Buffer.byteLength(item), 0);
  if (size > MAX_CONTEXT_BYTES) throw new AwsError('ValidationException', 'EncryptionContext is too large.');
  return new Map(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}
