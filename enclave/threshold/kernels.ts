/**
 * The arithmetic of threshold decryption as the quorum sees it: bytes in, bytes out.
 *
 * Key shares and masks stay behind these functions. A masked share is what peers may see once the quorum has approved
 * the request, and not before. Spec: threshold-protocols sections 3.2 to 3.5.
 */
import type { CiphertextItem, Recipient } from '../../native/engine/index.ts';

/** Makes one party's masked shares: for each ciphertext ⌈blocks / 4⌉ elements of 64 bytes, always the same ones. */
export type PartialDecrypt = (items: readonly CiphertextItem[]) => Promise<Uint8Array[]>;

/** Makes one party's shares for one user: signed and encrypted, afresh each time. */
export type UserShares = (items: readonly CiphertextItem[], recipient: Recipient) => Promise<Uint8Array[]>;

/** A ciphertext that was opened. */
export interface Opened {
  /** Little endian, of the width of its type. */
  readonly plaintext: Uint8Array;
  /** Parties that sent something else than their share. */
  readonly liars: readonly number[];
}

/** Opens zeros from unpacked shares: the liars, undefined while more are needed, `ABORTED` if it is not zero. */
export type OpenZeros = (options: {
  readonly n: number;
  readonly t: number;
  readonly contributions: ReadonlyMap<number, Uint8Array>;
}) => readonly number[] | undefined;

/** Opens a ciphertext from masked shares; undefined while more are needed. `ABORTED` for shares of different epochs. */
export type OpenDecryption = (options: {
  readonly n: number;
  readonly t: number;
  readonly fheType: number;
  readonly format: number;
  readonly contributions: ReadonlyMap<number, Uint8Array>;
}) => Promise<Opened | undefined>;
