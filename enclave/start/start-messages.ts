/**
 * What engines tell each other on the channel `start`: the record of a start, its acknowledgement, its refusal.
 *
 * The peer is attested and may lie all the same: a message is exactly one of these or refused. Records in it are not judged
 * here. Nothing is secret. Format: docs/formats/start-record.md.
 */
import { type CborValue, decodeStrict, encodeCanonical } from '../../attestation/cbor.ts';
import { KmsError } from '../../common/errors.ts';

/** Why a start is not acknowledged. Names are wire format. */
export const REFUSALS = [
  /** The peer has seen a later start of this party. */
  'incarnation-lower',
  /** The peer has seen another start of this number. */
  'incarnation-taken',
  /** The peer has seen a later state of this party's vault. */
  'manifest-older',
  /** The peer has seen another state of this number. */
  'manifest-forked',
  /** The record is of another certificate than the connection. */
  'other-leaf',
  /** More parties came out of backups than may forget: governance has to restart the quorum. */
  'too-many-restored',
] as const;

/** A word out of {@link REFUSALS}. */
export type Refusal = (typeof REFUSALS)[number];

/** Any message of the channel. Records are signed ones, as bytes. */
export type StartMessage =
  | { readonly type: 'start'; readonly record: Uint8Array }
  | {
      readonly type: 'acknowledged';
      /** Of the record. */
      readonly digest: Uint8Array;
      /** Whether the sender is memory: false while it came out of a backup itself. */
      readonly isMemory: boolean;
      /** What the sender remembers, for one that came out of a backup. */
      readonly records: readonly Uint8Array[];
    }
  | {
      readonly type: 'refused';
      readonly digest: Uint8Array;
      readonly why: Refusal;
      /** The record that the sender remembers of the receiver, where that is why. */
      readonly seen: Uint8Array | undefined;
    };

/** Most bytes of a message: records of 128 parties. */
export const MAX_START_MESSAGE_BYTES = 300 * 1024;
const TYPES = ['start', 'acknowledged', 'refused'] as const;
const DIGEST_BYTES = 48;
const MAX_RECORDS = 128;

/** Returns the one encoding of a message. */
export function encodeStartMessage(message: StartMessage): Uint8Array<ArrayBuffer> {
  const type = TYPES.indexOf(message.type);
  switch (message.type) {
    case 'start':
      return encodeCanonical([type, message.record]);
    case 'acknowledged':
      return encodeCanonical([type, message.digest, message.isMemory, [...message.records]]);
    case 'refused':
      return encodeCanonical([type, message.digest, REFUSALS.indexOf(message.why), message.seen ?? null]);
  }
}

/**
 * Reads a message; what it returns is a copy.
 *
 * @throws KmsError `REQUEST_INVALID` for whatever is none.
 */
export function parseStartMessage(bytes: Uint8Array): StartMessage {
  const limits = { maxBytes: MAX_START_MESSAGE_BYTES, maxDepth: 2, canonical: true } as const;
  const parts = decodeStrict(bytes, limits);
  if (!Array.isArray(parts)) throw malformed();
  const [number, ...rest]: readonly CborValue[] = parts;
  const type = typeof number === 'number' ? TYPES[number] : undefined;
  switch (type) {
    case 'start':
      if (rest.length !== 1) throw malformed();
      return { type, record: bytesOf(rest[0]) };
    case 'acknowledged': {
      const [digest, isMemory, records] = rest;
      if (rest.length !== 3 || typeof isMemory !== 'boolean' || !Array.isArray(records)) throw malformed();
      if (records.length > MAX_RECORDS) throw malformed();
      return { type, digest: bytesOf(digest, DIGEST_BYTES), isMemory, records: records.map((one) => bytesOf(one)) };
    }
    case 'refused': {
      const [digest, code, seen] = rest;
      const why = typeof code === 'number' ? REFUSALS[code] : undefined;
      if (rest.length !== 3 || why === undefined) throw malformed();
      return { type, digest: bytesOf(digest, DIGEST_BYTES), why, seen: seen === null ? undefined : bytesOf(seen) };
    }
    default:
      throw malformed();
  }
}

function bytesOf(value: CborValue | undefined, size?: number): Uint8Array {
  if (value instanceof Uint8Array && (size === undefined || value.length === size)) return Uint8Array.from(value);
  throw malformed();
}

const malformed = (): KmsError => new KmsError('REQUEST_INVALID', 'a message about a start of no known form');
