/**
 * Data keys and what each is bound to. SECRET: data keys. Everything else here is public and stands in AWS's audit log.
 *
 * Spec: design section 6 (vault), docs/formats/key-policy.md.
 */
import { createHash } from 'node:crypto';
import { encodeCanonical } from '../../attestation/cbor.ts';
import { toHex } from '../../common/bytes.ts';

/** What data keys are for: a key of one purpose never opens an object of another. */
export const DATA_KEY_PURPOSES = ['private-object', 'backup-object'] as const;

/** What one data key is for. */
export interface DataKeyBinding {
  readonly purpose: (typeof DATA_KEY_PURPOSES)[number];
  /** SHA-384 of the charter: network, governance, party, anchor. */
  readonly charterDigest: Uint8Array;
  readonly party: number;
  /** Ids as hexadecimal digits; undefined for what belongs to no context or epoch. */
  readonly contextId: string | undefined;
  readonly epochId: string | undefined;
  /** Path of the object in its vault: kind, epoch, id. */
  readonly object: string;
}

/** A data key under a root key. Public: only who may use the root key can open it. */
export interface WrappedDataKey {
  /** ARN of the root key. */
  readonly keyId: string;
  readonly blob: Uint8Array;
}

/** Makes and opens data keys. */
export interface DataKeyring {
  /** Stable name, shown to operators. */
  readonly name: string;
  /**
   * Returns a new key of 32 bytes in memory of its own, which the caller wipes, and what to keep of it.
   *
   * @throws KmsError `PERMISSION_DENIED`, `PRECONDITION_FAILED`, `ATTESTATION_REJECTED`, `NOT_FOUND`, `STATE_INVALID`,
   *   `UNAVAILABLE` after a bounded number of attempts, `CANCELLED`.
   */
  generate(
    binding: DataKeyBinding,
    signal?: AbortSignal,
  ): Promise<{ readonly dataKey: Uint8Array<ArrayBuffer>; readonly wrapped: WrappedDataKey }>;
  /**
   * Opens a key; the caller wipes it.
   *
   * @throws KmsError As {@link DataKeyring.generate}; `STATE_INVALID` for a key of another object, party or epoch.
   */
  unwrap(wrapped: WrappedDataKey, binding: DataKeyBinding, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** Why the last call to what keeps the root key failed, for people; undefined if it succeeded. */
  readonly trouble?: () => string | undefined;
  close(): void;
}

/** Size of a data key. */
export const DATA_KEY_BYTES = 32;

/** Stands where a context or epoch does not apply: no id is written so. */
const NONE = '-';

/** Returns the encryption context: AWS authenticates it with the key, and logs it. */
export function encryptionContextOf(binding: DataKeyBinding): Readonly<Record<string, string>> {
  return {
    'arca:purpose': binding.purpose,
    'arca:charter': toHex(binding.charterDigest),
    'arca:party': String(binding.party),
    'arca:context': binding.contextId ?? NONE,
    'arca:epoch': binding.epochId ?? NONE,
    'arca:object': binding.object,
  };
}

/** Returns SHA-256 over the same facts, for root keys that know no encryption context. */
export function bindingDigest(binding: DataKeyBinding): Uint8Array {
  const facts = new Map(Object.entries(encryptionContextOf(binding)));
  return new Uint8Array(
    createHash('sha256')
      .update(encodeCanonical(['arca-data-key-1', facts]))
      .digest(),
  );
}

/**
 * Returns the `user_data` of a document for AWS KMS: SHA-384 over a label of its own, so that no such document, which AWS and
 * everybody on the way sees, can serve as proof to a peer or as an answer to somebody's challenge.
 */
export function kmsUserData(party: { readonly charterDigest: Uint8Array; readonly party: number }): Uint8Array {
  const facts = encodeCanonical(['arca-kms-1', party.charterDigest, party.party]);
  return new Uint8Array(createHash('sha384').update(facts).digest());
}
