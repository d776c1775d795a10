/**
 * Reads the governed objects out of decoded CBOR or parsed JSON, and names every fault at once.
 *
 * Both forms have the same fields: bytes are byte strings or hexadecimal text, times are milliseconds or ISO 8601
 * text. Input is untrusted; nothing of it is repeated in a fault but the names of fields and numbers. Holds no secret.
 */
import { fromHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';

/** Which of the two forms is read. */
export type Form = 'cbor' | 'json';

/** Least and greatest value, or length, allowed. */
export interface Limits {
  readonly min: number;
  readonly max: number;
}

/** Collects what is wrong with an object, so that all of it is told at once. */
export class Faults {
  readonly #found: string[] = [];

  /** Notes that `path` is wrong and what would be right. */
  add(path: string, text: string): void {
    this.#found.push(path === '' ? text : `${path}: ${text}`);
  }

  /** All faults so far, in the order found. */
  get found(): readonly string[] {
    return this.#found;
  }

  /**
   * Ends the reading of an object.
   *
   * @throws {@link KmsError} `REQUEST_INVALID` with every fault in its message, if there is one.
   */
  check(what: string): void {
    if (this.#found.length === 0) return;
    const shown = this.#found.slice(0, 32);
    const rest = this.#found.length - shown.length;
    const more = rest > 0 ? `; and ${rest} more` : '';
    const error = new KmsError('REQUEST_INVALID', `${what} is invalid: ${shown.join('; ')}${more}`, {
      faults: this.#found.length,
    });
    FAULTS.set(error, [...this.#found]);
    throw error;
  }
}

const FAULTS = new WeakMap<Error, readonly string[]>();

/** Returns every fault that an error of {@link Faults.check} is about, or undefined for other errors. */
export function faultsOf(error: unknown): readonly string[] | undefined {
  return error instanceof Error ? FAULTS.get(error) : undefined;
}

/** One value with the place where it stands. Every getter returns a harmless value after noting a fault. */
export class Field {
  readonly #value: unknown;
  readonly #path: string;
  readonly #form: Form;
  readonly #faults: Faults;

  constructor(value: unknown, path: string, form: Form, faults: Faults) {
    this.#value = value;
    this.#path = path;
    this.#form = form;
    this.#faults = faults;
  }

  /** Notes a fault of this value. */
  fault(text: string): void {
    this.#faults.add(this.#path, text);
  }

  /** Bytes of exactly `sizeBytes`. */
  bytes(sizeBytes: number): Uint8Array {
    const bytes = this.#form === 'json' ? hexBytes(this.#value) : this.#value;
    if (bytes instanceof Uint8Array && bytes.byteLength === sizeBytes) return Uint8Array.from(bytes);
    const form = this.#form === 'json' ? `${2 * sizeBytes} hexadecimal digits` : `a byte string of ${sizeBytes} bytes`;
    this.fault(`needs ${form}`);
    return new Uint8Array(sizeBytes);
  }

  /** Bytes of any length (CBOR only). */
  blob(): Uint8Array {
    if (this.#value instanceof Uint8Array) return Uint8Array.from(this.#value);
    this.fault('needs a byte string');
    return new Uint8Array(0);
  }

  /** A whole number within limits. */
  int({ min, max }: Limits): number {
    const value = this.#value;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
    this.fault(`needs a whole number from ${min} to ${max}`);
    return min;
  }

  /** A time in milliseconds since 1970. */
  time(): number {
    if (this.#form === 'cbor') return this.int({ min: 0, max: MAX_TIME_MS });
    const ms = typeof this.#value === 'string' && ISO_TIME.test(this.#value) ? Date.parse(this.#value) : Number.NaN;
    if (Number.isSafeInteger(ms) && ms >= 0 && ms <= MAX_TIME_MS) return ms;
    this.fault('needs a time such as 2026-01-31T12:00:00Z');
    return 0;
  }

  /** Text of the given shape; `hint` says what the shape is. */
  text(pattern: RegExp, hint: string): string {
    if (typeof this.#value === 'string' && pattern.test(this.#value)) return this.#value;
    this.fault(`needs ${hint}`);
    return '';
  }

  /** One of the given words. */
  word<T extends string>(words: readonly [T, ...T[]]): T {
    const word = words.find((candidate) => candidate === this.#value);
    if (word !== undefined) return word;
    this.fault(`needs one of ${words.join(', ')}`);
    return words[0];
  }

  /** A list within limits of length; items are read only when the length is right. */
  list<T>({ min, max }: Limits, read: (item: Field) => T): T[] {
    const value: unknown = this.#value;
    if (!Array.isArray(value) || value.length < min || value.length > max) {
      this.fault(`needs a list of ${min} to ${max} items`);
      return [];
    }
    return value.map((item: unknown, at) => read(new Field(item, `${this.#path}[${at}]`, this.#form, this.#faults)));
  }

  /** A list in ascending order without repetition; people's JSON may have it in any order. */
  sortedList<T>(limits: Limits, read: (item: Field) => T, compare: (a: T, b: T) => number): T[] {
    const items = this.list(limits, read);
    const sorted = this.#form === 'json' ? items.sort(compare) : items;
    const isAscending = sorted.every((item, at) => at === 0 || compare(sorted[at - 1] ?? item, item) < 0);
    if (!isAscending) this.fault(`needs its items in ascending order, none twice`);
    return sorted;
  }

  /** An object with named fields; ones that `read` did not ask for are faults. */
  object<T>(read: (fields: Fields) => T): T {
    const fields = new Fields(this.#entries(), this.#path, this.#form, this.#faults);
    const result = read(fields);
    fields.end();
    return result;
  }

  /** A map from small whole numbers (text in JSON) to what `read` makes of the values. */
  intMap<T>(keys: Limits, read: (item: Field) => T): Map<number, T> {
    const result = new Map<number, T>();
    const entries = this.#value instanceof Map || isPlainObject(this.#value) ? this.#rawEntries() : undefined;
    if (entries === undefined) this.fault('needs a map');
    for (const [key, value] of entries ?? []) {
      const number = this.#form === 'json' && typeof key === 'string' && /^\d{1,6}$/.test(key) ? Number(key) : key;
      if (typeof number !== 'number' || !Number.isInteger(number) || number < keys.min || number > keys.max) {
        this.fault(`needs indexes from ${keys.min} to ${keys.max}`);
      } else if (result.has(number)) {
        this.fault(`has index ${number} twice`);
      } else {
        result.set(number, read(new Field(value, `${this.#path}[${number}]`, this.#form, this.#faults)));
      }
    }
    return new Map([...result].sort(([a], [b]) => a - b));
  }

  #rawEntries(): readonly (readonly [unknown, unknown])[] {
    if (this.#value instanceof Map) return [...this.#value];
    return isPlainObject(this.#value) ? Object.entries(this.#value) : [];
  }

  #entries(): Map<string, unknown> {
    const isRight = this.#form === 'cbor' ? this.#value instanceof Map : isPlainObject(this.#value);
    if (!isRight) {
      this.fault('needs an object with named fields');
      return new Map();
    }
    const entries = new Map<string, unknown>();
    for (const [key, value] of this.#rawEntries()) {
      if (typeof key === 'string') entries.set(key, value);
      else this.fault('has a field whose name is no text');
    }
    return entries;
  }
}

/** The named fields of an object. */
export class Fields {
  readonly #entries: ReadonlyMap<string, unknown>;
  readonly #path: string;
  readonly #form: Form;
  readonly #faults: Faults;
  readonly #asked = new Set<string>();

  constructor(entries: ReadonlyMap<string, unknown>, path: string, form: Form, faults: Faults) {
    this.#entries = entries;
    this.#path = path;
    this.#form = form;
    this.#faults = faults;
  }

  /** A field that must be there; reading it notes its absence. */
  get(name: string): Field {
    this.#asked.add(name);
    return new Field(this.#entries.get(name), this.#pathOf(name), this.#form, this.#faults);
  }

  /** What `read` makes of a field, or undefined if it is absent. */
  optional<T>(name: string, read: (field: Field) => T): T | undefined {
    this.#asked.add(name);
    return this.#entries.has(name) ? read(this.get(name)) : undefined;
  }

  /** Notes every field that nobody asked for. */
  end(): void {
    const unknown = [...this.#entries.keys()].filter((name) => !this.#asked.has(name)).length;
    if (unknown > 0) {
      this.#faults.add(this.#path, `has ${unknown} unknown field(s); known are ${[...this.#asked].join(', ')}`);
    }
  }

  #pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }
}

/** The last day of the year 9999, the last that ISO text of four digits can name. */
const MAX_TIME_MS = 253_402_300_799_999;
const ISO_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{3})?Z$/;

function hexBytes(value: unknown): Uint8Array | undefined {
  if (typeof value !== 'string' || !/^(?:0x)?(?:[0-9a-fA-F]{2})*$/.test(value)) return undefined;
  return fromHex(value.startsWith('0x') ? value.slice(2) : value);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map);
}
