/**
 * The CBOR of a Nitro Security Module, both directions: clients write requests and read answers, the software module
 * reads requests and writes answers. Requests are hostile input to the one, answers to the other: sizes and depth are
 * bounded before anything is parsed, and unknown or doubled fields are refused.
 */
import { KmsError } from '../../common/errors.ts';
import { type CborValue, decodeStrict, encodeCanonical } from '../cbor.ts';
import { NSM_MAX_REQUEST_BYTES, NSM_MAX_RESPONSE_BYTES } from './attester.ts';
import { NSM_ERRORS, type NsmError, type NsmErrorName, type NsmRequest, type NsmResponse } from './nsm-messages.ts';

/** Deepest nesting of any message: a map of one entry, its fields, an array of locked registers. */
const MAX_DEPTH = 4;

/** Returns a request as the device wants it. */
export function encodeNsmRequest(request: NsmRequest): Uint8Array {
  switch (request.kind) {
    case 'DescribeNSM':
    case 'GetRandom':
      return encodeCanonical(request.kind);
    case 'DescribePCR':
    case 'LockPCR':
      return message(request.kind, { index: request.index });
    case 'ExtendPCR':
      return message(request.kind, { index: request.index, data: request.data });
    case 'LockPCRs':
      return message(request.kind, { range: request.range });
    case 'Attestation':
      return message(request.kind, {
        user_data: request.userData ?? null,
        nonce: request.nonce ?? null,
        public_key: request.publicKey ?? null,
      });
  }
}

/**
 * Reads a request. Never throws: what cannot be served comes back as the device's refusal, `InputTooLarge` for too
 * many bytes, `InvalidOperation` for what is no known request, `InvalidArgument` for one with the wrong fields.
 */
export function decodeNsmRequest(bytes: Uint8Array): NsmRequest | NsmError {
  if (bytes.byteLength > NSM_MAX_REQUEST_BYTES) return nsmError('InputTooLarge');
  try {
    const [kind, fields] = open(decodeStrict(bytes, bounds(NSM_MAX_REQUEST_BYTES)));
    return readRequest(kind, fields) ?? nsmError('InvalidOperation');
  } catch (error) {
    return nsmError(error instanceof WrongField ? 'InvalidArgument' : 'InvalidOperation');
  }
}

/** Returns an answer as the device gives it; `BufferTooSmall` in place of one that is too long. */
export function encodeNsmResponse(response: NsmResponse): Uint8Array {
  const bytes = writeResponse(response);
  return bytes.byteLength <= NSM_MAX_RESPONSE_BYTES ? bytes : writeResponse(nsmError('BufferTooSmall'));
}

/**
 * Reads an answer.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` for anything that no device answers.
 */
export function decodeNsmResponse(bytes: Uint8Array): NsmResponse {
  try {
    const [kind, fields] = open(decodeStrict(bytes, bounds(NSM_MAX_RESPONSE_BYTES)));
    const response = readResponse(kind, fields);
    if (response !== undefined) return response;
  } catch (error) {
    throw new KmsError('ATTESTATION_INVALID', 'the attestation device gave an answer that makes no sense', {}, error);
  }
  throw new KmsError('ATTESTATION_INVALID', 'the attestation device gave an unknown answer');
}

/** Returns a refusal. */
export function nsmError(error: NsmErrorName): NsmError {
  return { kind: 'Error', error };
}

function readRequest(kind: string, fields: CborValue | undefined): NsmRequest | undefined {
  switch (kind) {
    case 'DescribeNSM':
    case 'GetRandom':
      return fields === undefined ? { kind } : undefined;
    case 'DescribePCR':
    case 'LockPCR':
      return fields === undefined ? undefined : { kind, index: only(fields, ['index']).natural('index') };
    case 'ExtendPCR': {
      if (fields === undefined) return undefined;
      const read = only(fields, ['index', 'data']);
      return { kind, index: read.natural('index'), data: read.bytes('data') };
    }
    case 'LockPCRs':
      return fields === undefined ? undefined : { kind, range: only(fields, ['range']).natural('range') };
    case 'Attestation': {
      if (fields === undefined) return undefined;
      const read = only(fields, ['user_data', 'nonce', 'public_key']);
      return {
        kind,
        userData: read.optionalBytes('user_data'),
        nonce: read.optionalBytes('nonce'),
        publicKey: read.optionalBytes('public_key'),
      };
    }
    default:
      return undefined;
  }
}

function writeResponse(response: NsmResponse): Uint8Array {
  switch (response.kind) {
    case 'Error':
      return encodeCanonical(new Map([['Error', response.error]]));
    case 'LockPCR':
    case 'LockPCRs':
      return encodeCanonical(response.kind);
    case 'DescribeNSM': {
      const [major, minor, patch] = response.version;
      return message(response.kind, {
        version_major: major,
        version_minor: minor,
        version_patch: patch,
        module_id: response.moduleId,
        max_pcrs: response.maxPcrs,
        locked_pcrs: [...response.lockedPcrs],
        digest: response.digest,
      });
    }
    case 'GetRandom':
      return message(response.kind, { random: response.random });
    case 'DescribePCR':
      return message(response.kind, { lock: response.lock, data: response.data });
    case 'ExtendPCR':
      return message(response.kind, { data: response.data });
    case 'Attestation':
      return message(response.kind, { document: response.document });
  }
}

function readResponse(kind: string, fields: CborValue | undefined): NsmResponse | undefined {
  if (fields === undefined) return kind === 'LockPCR' || kind === 'LockPCRs' ? { kind } : undefined;
  switch (kind) {
    case 'Error': {
      const error = NSM_ERRORS.find((name) => name === fields);
      return error === undefined ? undefined : nsmError(error);
    }
    case 'DescribeNSM': {
      const read = new Fields(fields);
      return {
        kind,
        version: [read.natural('version_major'), read.natural('version_minor'), read.natural('version_patch')],
        moduleId: read.text('module_id'),
        maxPcrs: read.natural('max_pcrs'),
        lockedPcrs: read.naturals('locked_pcrs'),
        digest: read.text('digest'),
      };
    }
    case 'GetRandom':
      return { kind, random: new Fields(fields).bytes('random') };
    case 'DescribePCR': {
      const read = new Fields(fields);
      return { kind, lock: read.flag('lock'), data: read.bytes('data') };
    }
    case 'ExtendPCR':
      return { kind, data: new Fields(fields).bytes('data') };
    case 'Attestation':
      return { kind, document: new Fields(fields).bytes('document') };
    default:
      return undefined;
  }
}

function bounds(maxBytes: number) {
  return { maxBytes, maxDepth: MAX_DEPTH, allowIndefinite: true };
}

function message(kind: string, fields: Readonly<Record<string, CborValue>>): Uint8Array {
  return encodeCanonical(new Map([[kind, new Map(Object.entries(fields))]]));
}

/** Returns a variant's name and its fields, which a variant without fields has not. */
function open(value: CborValue): readonly [kind: string, fields: CborValue | undefined] {
  if (typeof value === 'string') return [value, undefined];
  if (value instanceof Map && value.size === 1) {
    for (const [kind, fields] of value) if (typeof kind === 'string') return [kind, fields];
  }
  throw new Error('needs a text, or a map of one entry');
}

class WrongField extends Error {}

function only(value: CborValue, names: readonly string[]): Fields {
  const fields = new Fields(value);
  fields.allow(names);
  return fields;
}

/** The named fields of a variant. */
class Fields {
  readonly #fields: ReadonlyMap<CborValue, CborValue>;

  constructor(value: CborValue) {
    if (!(value instanceof Map)) throw new WrongField('needs a map of fields');
    this.#fields = value;
  }

  allow(names: readonly string[]): void {
    for (const name of this.#fields.keys()) {
      if (typeof name !== 'string' || !names.includes(name)) throw new WrongField('has an unknown field');
    }
  }

  natural(name: string): number {
    return natural(this.#fields.get(name), name);
  }

  naturals(name: string): readonly number[] {
    const value = this.#fields.get(name);
    if (!Array.isArray(value)) throw new WrongField(`${name} needs an array`);
    return value.map((item: CborValue) => natural(item, name));
  }

  text(name: string): string {
    const value = this.#fields.get(name);
    if (typeof value !== 'string') throw new WrongField(`${name} needs a text`);
    return value;
  }

  flag(name: string): boolean {
    const value = this.#fields.get(name);
    if (typeof value !== 'boolean') throw new WrongField(`${name} needs a boolean`);
    return value;
  }

  bytes(name: string): Uint8Array {
    const value = this.#fields.get(name);
    if (!(value instanceof Uint8Array)) throw new WrongField(`${name} needs a byte string`);
    return value;
  }

  optionalBytes(name: string): Uint8Array | undefined {
    return (this.#fields.get(name) ?? null) === null ? undefined : this.bytes(name);
  }
}

function natural(value: CborValue | undefined, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new WrongField(`${name} needs a natural number`);
  }
  return value;
}
