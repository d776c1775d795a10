/**
 * What engines tell each other on the channel `control`: meetings, pings, objects of governance. Written and read here.
 *
 * Nothing in these messages is secret. The peer is attested and may lie all the same: a message is exactly one of these
 * or refused. Format: docs/formats/peer-frames.md.
 */
import { MAX_OBJECT_BYTES } from '../../attestation/governance/canonical.ts';
import type { GovernanceOffer } from '../../attestation/governance/index.ts';
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';

/** A party stands ready for a meeting. */
export interface ReadyMessage {
  readonly type: 'ready';
  /** The sender wants to know that its nonce was seen. */
  readonly asks: boolean;
  readonly kind: string;
  /** 32 bytes each. */
  readonly id: Uint8Array;
  readonly digest: Uint8Array;
  /** The sender's, fresh for this meeting. */
  readonly nonce: Uint8Array;
  /** The receiver's, as the sender knows it; undefined if it does not. */
  readonly seen: Uint8Array | undefined;
}

/** Asks for the same token back, or gives it back. */
export interface PingMessage {
  readonly type: 'ping' | 'pong';
  /** 8 bytes. */
  readonly token: Uint8Array;
}

/** A signed object of governance that the receiver may lack. */
export interface OfferMessage {
  readonly type: 'offer';
  readonly offer: GovernanceOffer & { readonly kind: 'record' | 'release-set' };
}

/** Any message of the control channel. */
export type ControlMessage = ReadyMessage | PingMessage | OfferMessage;

/** Bytes of ids, digests and nonces. */
export const MEETING_FIELD_BYTES = 32;
/** Bytes of a ping's token. */
export const TOKEN_BYTES = 8;
/** Most bytes of a message, which is an offer then. */
export const MAX_CONTROL_BYTES = MAX_OBJECT_BYTES + 1;

/** The name of a meeting's kind. */
export const MEETING_KIND = /^[\x21-\x7e]{1,32}$/;

const TYPE = { ready: 1, answer: 2, ping: 3, pong: 4, record: 5, releaseSet: 6 } as const;
const UNSEEN = new Uint8Array(MEETING_FIELD_BYTES);

/** Returns the one encoding of a message. */
export function encodeControl(message: ControlMessage): Uint8Array<ArrayBuffer> {
  switch (message.type) {
    case 'ready': {
      const { asks, kind, id, digest, nonce, seen = UNSEEN } = message;
      const name = Buffer.from(kind, 'latin1');
      const head = Uint8Array.of(asks ? TYPE.ready : TYPE.answer);
      return concatBytes(head, id, digest, nonce, seen, name);
    }
    case 'ping':
    case 'pong':
      return concatBytes(Uint8Array.of(TYPE[message.type]), message.token);
    case 'offer': {
      const { kind, content } = message.offer;
      return concatBytes(Uint8Array.of(kind === 'record' ? TYPE.record : TYPE.releaseSet), content);
    }
  }
}

/**
 * Reads a message. Its parts are copies: the frame may be changed afterwards.
 *
 * @throws KmsError `REQUEST_INVALID` for whatever is none.
 */
export function parseControl(bytes: Uint8Array): ControlMessage {
  const [type] = bytes;
  const body = bytes.slice(1);
  switch (type) {
    case TYPE.ready:
    case TYPE.answer:
      return parseReady(body, type === TYPE.ready);
    case TYPE.ping:
    case TYPE.pong:
      if (body.byteLength !== TOKEN_BYTES) throw malformed('a ping has 8 bytes');
      return { type: type === TYPE.ping ? 'ping' : 'pong', token: body };
    case TYPE.record:
    case TYPE.releaseSet:
      if (body.byteLength === 0 || body.byteLength > MAX_OBJECT_BYTES) throw malformed('an offer has 1 B to 1 MiB');
      return { type: 'offer', offer: { kind: type === TYPE.record ? 'record' : 'release-set', content: body } };
    default:
      throw malformed('a message of no known type');
  }
}

function parseReady(body: Uint8Array, asks: boolean): ReadyMessage {
  const field = (index: number): Uint8Array =>
    body.subarray(index * MEETING_FIELD_BYTES, (index + 1) * MEETING_FIELD_BYTES);
  const kind = Buffer.from(body.subarray(4 * MEETING_FIELD_BYTES)).toString('latin1');
  if (body.byteLength <= 4 * MEETING_FIELD_BYTES || !MEETING_KIND.test(kind)) {
    throw malformed('a meeting has four fields of 32 bytes and a kind of 1 to 32 printable characters');
  }
  const [id, digest, nonce, seen] = [field(0), field(1), field(2), field(3)];
  if (isUnseen(nonce)) throw malformed('a nonce is not zero');
  return { type: 'ready', asks, kind, id, digest, nonce, seen: isUnseen(seen) ? undefined : seen };
}

function isUnseen(nonce: Uint8Array): boolean {
  return nonce.every((byte) => byte === 0);
}

function malformed(message: string): KmsError {
  return new KmsError('REQUEST_INVALID', message);
}
