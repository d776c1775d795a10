/**
 * What a document under the label 'arca-attest-1' commits to: engine and verifier compute it with this one function.
 *
 * All of it is public. Runs in a browser too: no `node:` import.
 */
import { sha384 } from '@noble/hashes/sha2.js';
import { encodeCanonical } from './cbor.ts';

/** Shortest and longest nonce that is taken from an asker, in bytes. */
export const ATTEST_NONCE_BYTES = { min: 8, max: 64 } as const;

/** The facts beside a document; the document's `user_data` is their commitment. */
export interface AttestFacts {
  readonly network: string;
  /** SHA-384 of the charter, 48 bytes. */
  readonly charterDigest: Uint8Array;
  /** Number of the party, from 1. */
  readonly party: number;
  /** Address of the node's signing key, 20 bytes. */
  readonly address: Uint8Array;
  /** Name of the release that the engine takes itself for. */
  readonly release: string;
  /** How often this party's engine has been started. */
  readonly incarnation: number;
}

/**
 * Returns the `user_data` of a document over these facts: SHA-384 of the canonical CBOR array
 * `['arca-attest-1', network, charter digest, party, address, release, incarnation]`.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if a number is no safe integer or a text no Unicode.
 */
export function attestCommitment(facts: AttestFacts): Uint8Array {
  const { network, charterDigest, party, address, release, incarnation } = facts;
  return sha384(encodeCanonical(['arca-attest-1', network, charterDigest, party, address, release, incarnation]));
}
