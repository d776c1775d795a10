/**
 * Hostile variants of a protobuf message: every field at every depth given values that a careless parser trips over.
 */
import { create, type DescField, type DescMessage, ScalarType, toBinary } from '@bufbuild/protobuf';

/** One variant: which field was changed and how, and the whole message on the wire. */
export interface Mutant {
  readonly field: string;
  readonly how: string;
  readonly wire: Uint8Array;
}

type Fields = Readonly<Record<string, unknown>>;
interface Variant {
  readonly path: readonly string[];
  readonly how: string;
  readonly fields: Fields;
}

/**
 * Yields every variant of a message that has a good value in each field worth breaking.
 *
 * @param refresh - Gives the message anew for each variant, so that it can have an id of its own.
 */
export function* mutants(desc: DescMessage, refresh: () => object): Generator<Mutant> {
  const fresh = () => fieldsOf(refresh());
  for (const { path, how, fields } of variants(desc, fresh())) {
    const [name = ''] = path;
    const { [name]: changed, ...others } = fields;
    const { [name]: _good, ...renewed } = { ...others, ...fresh() };
    yield {
      field: path.join('.'),
      how,
      wire: toBinary(desc, create(desc, changed === undefined ? renewed : { ...renewed, [name]: changed })),
    };
  }
}

/** Makes a message with something in every field at every depth; `fixed` gives messages by their type name. */
export function sampleMessage(desc: DescMessage, fixed: (typeName: string) => object | undefined): object {
  const given = fixed(desc.typeName);
  if (given) return given;
  const fields = desc.fields.map((field): [string, unknown] => [field.localName, sampleField(field, fixed)]);
  return create(desc, Object.fromEntries(fields.filter(([, value]) => value !== undefined)));
}

function sampleField(field: DescField, fixed: (typeName: string) => object | undefined): unknown {
  switch (field.fieldKind) {
    case 'message':
      return sampleMessage(field.message, fixed);
    case 'list':
      if (field.listKind === 'message') return [sampleMessage(field.message, fixed)];
      return field.listKind === 'enum' ? [0] : [sampleScalar(field.scalar)];
    case 'scalar':
      return sampleScalar(field.scalar);
    default:
      return undefined;
  }
}

function sampleScalar(type: ScalarType): unknown {
  switch (type) {
    case ScalarType.STRING:
      return 'sample';
    case ScalarType.BYTES:
      return new Uint8Array(32).fill(5);
    case ScalarType.BOOL:
      return true;
    case ScalarType.UINT64:
    case ScalarType.INT64:
      return 1n;
    default:
      return 1;
  }
}

/** The fields of a message without what the library adds. */
function fieldsOf(message: object): Fields {
  return Object.fromEntries(Object.entries(message).filter(([name]) => !name.startsWith('$')));
}

function* variants(desc: DescMessage, message: Fields): Generator<Variant> {
  for (const field of desc.fields) {
    const name = field.localName;
    const { [name]: value, ...others } = message;
    yield { path: [name], how: 'absent', fields: others };
    for (const [how, bad] of valuesFor(field, value)) {
      yield { path: [name], how, fields: { ...message, [name]: bad } };
    }
    const inner = field.fieldKind === 'message' || field.fieldKind === 'list' ? field.message : undefined;
    const first = Array.isArray(value) ? value[0] : value;
    if (inner && typeof first === 'object' && first !== null) {
      for (const { path, how, fields } of variants(inner, fieldsOf(first))) {
        const changed = create(inner, fields);
        const whole = Array.isArray(value) ? [changed, ...value.slice(1)] : changed;
        yield { path: [name, ...path], how, fields: { ...message, [name]: whole } };
      }
    }
  }
}

/** Bad values of one field, each with a word for it. */
function valuesFor(field: DescField, value: unknown): [string, unknown][] {
  switch (field.fieldKind) {
    case 'scalar':
      return scalars(field.scalar, value);
    case 'enum':
      return [
        ...field.enum.values.map(({ number }): [string, unknown] => [`enum ${number}`, number]),
        ['enum 99', 99],
        ['enum -1', -1],
      ];
    case 'message':
      return [['empty message', create(field.message)]];
    case 'list': {
      const items = Array.isArray(value) ? value : [];
      if (field.listKind === 'enum')
        return [
          ['odd members', [99, -1, 0, 0, 4, 4]],
          ['many', new Array(100_000).fill(0)],
        ];
      return [
        ['doubled', [...items, ...items]],
        ['with an empty member', field.listKind === 'message' ? [...items, create(field.message)] : items],
      ];
    }
    default:
      return [];
  }
}

function scalars(type: ScalarType, value: unknown): [string, unknown][] {
  switch (type) {
    case ScalarType.STRING:
      return strings(typeof value === 'string' ? value : '');
    case ScalarType.BYTES:
      return byteStrings(value instanceof Uint8Array ? value : new Uint8Array());
    case ScalarType.BOOL:
      return [['flipped', value !== true]];
    case ScalarType.INT32:
      return [0, 1, 12, -1, 2 ** 31 - 1, -(2 ** 31)].map((number) => [String(number), number]);
    case ScalarType.UINT32:
      return [0, 1, 65, 2 ** 32 - 1].map((number) => [String(number), number]);
    case ScalarType.UINT64:
      return [0n, 1n, 2n ** 64n - 1n].map((number) => [String(number), number]);
    default:
      return [];
  }
}

function strings(value: string): [string, unknown][] {
  return [
    ['empty', ''],
    ['cut', value.slice(0, -1)],
    ['extended', `${value}0`],
    ['prefixed', `0x${value}`],
    ['upper case', value.toUpperCase()],
    ['lower case', value.toLowerCase()],
    ['spaced', ` ${value}\n`],
    ['with NUL', `${value.slice(0, -1)}\0`],
    ['not hex', 'z'.repeat(value.length)],
    ['other digits', '٣'.repeat(value.length)],
    ['a path', '../../../../etc/passwd'],
    ['1 MiB', 'a'.repeat(2 ** 20)],
  ];
}

function byteStrings(value: Uint8Array): [string, unknown][] {
  const flipped = (at: number) => value.map((byte, index) => (index === at ? byte ^ 0xff : byte));
  const huge = value.slice();
  huge.fill(0xff, 0, Math.min(8, huge.length));
  return [
    ['empty', new Uint8Array()],
    ['one byte', Uint8Array.of(0)],
    ['cut', value.subarray(0, -1)],
    ['halved', value.subarray(0, value.length >> 1)],
    ['extended', Uint8Array.of(...value.subarray(0, 200_000), 0)],
    ['first byte flipped', flipped(0)],
    ['middle byte flipped', flipped(value.length >> 1)],
    ['last byte flipped', flipped(value.length - 1)],
    ['all zero', new Uint8Array(value.length)],
    ['all ones', new Uint8Array(value.length).fill(0xff)],
    ['huge first length', huge],
    ['1 MiB', new Uint8Array(2 ** 20).fill(1)],
  ];
}
