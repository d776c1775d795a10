/**
 * What the document beside a recovery request commits to: engine and custodian compute it with this one function.
 *
 * All of it is public. The document's `public_key` is the `enc_key` form of the request's ephemeral key.
 */
import { sha384 } from '@noble/hashes/sha2.js';
import { encodeCanonical } from '../cbor.ts';

/** Length of the challenge that a custodian chooses, in bytes. */
export const RECOVERY_CHALLENGE_BYTES = 16;

/** Oldest document that a custodian helps with, in milliseconds: requests are carried by hand. */
export const RECOVERY_MAX_AGE_MS: number = 15 * 60_000;

/** The facts of a recovery request; the document's `user_data` is their commitment. */
export interface RecoverFacts {
  /** SHA-384 of the charter, 48 bytes. */
  readonly charterDigest: Uint8Array;
  /** 32 bytes. */
  readonly mpcContextId: Uint8Array;
  /** 32 bytes. */
  readonly custodianContextId: Uint8Array;
  /** Address of the node's signing key, 20 bytes. */
  readonly address: Uint8Array;
  /** SHA-256 of the signcrypted shares, as `ciphertextsDigest` of wire/custodian gives it. */
  readonly ciphertextsDigest: Uint8Array;
  /** What this one custodian asked for, 16 bytes. */
  readonly challenge: Uint8Array;
}

/**
 * Returns the `user_data` of a document over these facts: SHA-384 of the canonical CBOR array
 * `['arca-recover-1', charter digest, MPC context, custodian context, address, digest of the shares, challenge]`.
 */
export function recoverCommitment(facts: RecoverFacts): Uint8Array {
  const { charterDigest, mpcContextId, custodianContextId, address, ciphertextsDigest, challenge } = facts;
  return sha384(
    encodeCanonical([
      'arca-recover-1',
      charterDigest,
      mpcContextId,
      custodianContextId,
      address,
      ciphertextsDigest,
      challenge,
    ]),
  );
}
