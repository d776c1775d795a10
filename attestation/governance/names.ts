/**
 * Names and limits that all governed objects share, and the order of their lists.
 *
 * Lists of keys and parties stand in ascending order without repetition, so that one set has one encoding.
 */

import { isUsableKey, PUBLIC_KEY_BYTES } from './ed25519.ts';
import type { Field, Limits } from './fields.ts';

/** Size of SHA-384, of every digest here and of a PCR. */
export const DIGEST_BYTES = 48;

/** Party numbers: 1-based, as everywhere. */
export const PARTY: Limits = { min: 1, max: 1024 };

/** Versions of records and release sets: the first is 1. */
export const VERSION: Limits = { min: 1, max: 0xffff_ffff };

/** Keys of one kind. */
export const KEY_COUNT: Limits = { min: 1, max: 64 };

const NETWORK = /^(?=.{1,64}$)(?:dev:)?[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/;

/** Reads a network id. */
export function readNetwork(field: Field): string {
  return field.text(NETWORK, "at most 64 of a-z, 0-9, '.' and '-'; developer networks begin with 'dev:'");
}

/** Returns whether the network is one of developer mode: `dev:` and anything. */
export function isDeveloperNetwork(network: string): boolean {
  return network.startsWith('dev:');
}

/** Reads a list of public keys: ascending, none twice, none of small order. */
export function readKeys(field: Field): Uint8Array[] {
  const readKey = (item: Field) => {
    const key = item.bytes(PUBLIC_KEY_BYTES);
    if (!isUsableKey(key)) item.fault('is no Ed25519 public key of large order');
    return key;
  };
  return field.sortedList(KEY_COUNT, readKey, Buffer.compare);
}

/** Returns the keys in ascending order, as the objects want them. */
export function sortedKeys(keys: readonly Uint8Array[]): Uint8Array[] {
  return [...keys].sort(Buffer.compare);
}

/**
 * Returns how many of `keys` must sign so that no third of them can decide alone: 2t + 1 with t the greatest number
 * below a third.
 *
 * @example
 * supermajority(4); // 3
 */
export function supermajority(keys: number): number {
  return 2 * Math.floor((keys - 1) / 3) + 1;
}
