/**
 * What engines tell each other while they make the default epoch: how far each of them is. Nothing here is secret.
 *
 * Little endian: u8 what | u64 incarnation | u32 counter, then for `making` 32 bytes for each party from 1 on: the nonce
 * last heard of it, zeros for none, the sender's own at its own place; for the others the 32 bytes that name the set-up.
 */
import { KmsError } from '../../common/errors.ts';

/** How far a party is. `making`: it has no epoch; `stored`: it holds one; `settled`: it knows that all hold it. */
export type EpochMessage =
  | { readonly what: 'making'; readonly nonces: readonly Uint8Array[] }
  | { readonly what: 'stored' | 'settled'; readonly setUpId: Uint8Array };

/** A message in its place: higher incarnations, and of one incarnation higher counters, are newer. */
export interface NumberedMessage {
  readonly incarnation: number;
  readonly counter: number;
  readonly message: EpochMessage;
}

const KINDS = ['making', 'stored', 'settled'] as const;
const HEAD_BYTES = 13;
const ITEM_BYTES = 32;

/** Returns the encoding. */
export function encodeEpochMessage({ incarnation, counter, message }: NumberedMessage): Uint8Array {
  const items = message.what === 'making' ? message.nonces : [message.setUpId];
  const bytes = new Uint8Array(HEAD_BYTES + items.length * ITEM_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, KINDS.indexOf(message.what));
  view.setBigUint64(1, BigInt(incarnation), true);
  view.setUint32(9, counter, true);
  for (const [index, item] of items.entries()) bytes.set(item, HEAD_BYTES + index * ITEM_BYTES);
  return bytes;
}

/**
 * Reads what a party of a context of n sent; what it returns is a copy.
 *
 * @throws KmsError `REQUEST_INVALID` for anything but an encoded message.
 */
export function decodeEpochMessage(bytes: Uint8Array, n: number): NumberedMessage {
  const what = KINDS[bytes[0] ?? KINDS.length];
  const count = what === 'making' ? n : 1;
  if (!what || bytes.byteLength !== HEAD_BYTES + count * ITEM_BYTES) {
    throw new KmsError('REQUEST_INVALID', 'sent what is no message about the default epoch');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const items = Array.from({ length: count }, (_, index) => {
    const at = HEAD_BYTES + index * ITEM_BYTES;
    return bytes.slice(at, at + ITEM_BYTES);
  });
  return {
    incarnation: Number(view.getBigUint64(1, true)),
    counter: view.getUint32(9, true),
    message: what === 'making' ? { what, nonces: items } : { what, setUpId: items[0] ?? new Uint8Array(ITEM_BYTES) },
  };
}

/** Whether one message was sent after another of the same party. */
export function isNewer(a: NumberedMessage, b: NumberedMessage | undefined): boolean {
  if (!b) return true;
  return a.incarnation === b.incarnation ? a.counter > b.counter : a.incarnation > b.incarnation;
}
