/**
 * The keychain `custodians`: data keys under the ML-KEM-512 backup key that custodians hold in shares. SECRET: data keys, and
 * the backup key while a recovery runs.
 *
 * Anybody can wrap for a public key, and the engine does, so nothing of AWS is needed to back up; what opens again is given
 * back by custodians alone. That nobody else made an object is for its signature to show. Format: docs/formats/custodian-keys.md.
 */
import { createPublicKey, decapsulate, encapsulate, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto';
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { RequestId } from '../../wire/ids.ts';
import { bindingDigest, DATA_KEY_BYTES, type DataKeyBinding, type DataKeyring } from './data-keys.ts';

/** The keychain's name. */
export const CUSTODIANS = 'custodians';

/** The backup key of one custodian context. */
export interface BackupKey {
  /** Custodian context that the key belongs to. */
  readonly contextId: RequestId;
  /** ML-KEM-512 encapsulation key, 800 bytes. */
  readonly publicKey: Uint8Array;
}

/** What a recovery brings: the secret half. */
export interface RecoveredKey {
  readonly contextId: RequestId;
  /** SECRET: ML-KEM-512 decapsulation key. */
  readonly privateKey: KeyObject;
}

const KEM = 'ml-kem-512';
const KEM_CIPHERTEXT_BYTES = 768;
const CHECK_BYTES = 32;
const INFO = new TextEncoder().encode('ARCA custodians, data key, format 1');
const ROOT = 'custodians:';

/**
 * Returns the keyring that seals under the active custodian context, and opens nothing.
 *
 * @param active - The context in force; undefined while there is none, or none that may be used again.
 */
export function custodianKeyring(active: () => BackupKey | undefined): DataKeyring {
  return {
    name: CUSTODIANS,
    close: () => undefined,
    generate: async (binding) => {
      const key = active();
      if (key === undefined) {
        const cure = 'make one with `arca custodian-context new`';
        throw new KmsError('PRECONDITION_FAILED', `no custodian context is in force, so nothing is backed up: ${cure}`);
      }
      const rawKey = { key: Buffer.from(key.publicKey), format: 'raw-public', asymmetricKeyType: KEM } as const;
      const { sharedKey, ciphertext } = encapsulate(createPublicKey(rawKey));
      const { dataKey, check } = derive(sharedKey, binding);
      return { dataKey, wrapped: { keyId: rootOf(key.contextId), blob: concatBytes(ciphertext, check) } };
    },
    unwrap: async ({ keyId }) => {
      const message = 'the backup key is with the custodians: begin a recovery to open a backup';
      throw new KmsError('PRECONDITION_FAILED', message, { keyId });
    },
  };
}

/** Returns the keyring of a recovery: it opens what was sealed under that context, until it is closed, and seals nothing. */
export function recoveredKeyring({ contextId, privateKey }: RecoveredKey): DataKeyring {
  let key: KeyObject | undefined = privateKey;
  return {
    name: CUSTODIANS,
    close: () => {
      key = undefined;
    },
    generate: async () => {
      const message = 'the backup key of a recovery is not used again: make a new custodian context';
      throw new KmsError('PRECONDITION_FAILED', message, { contextId });
    },
    unwrap: async ({ keyId, blob }, binding) => {
      if (key === undefined) throw new KmsError('PRECONDITION_FAILED', 'the recovery has ended', { contextId });
      if (keyId !== rootOf(contextId)) {
        throw new KmsError('STATE_INVALID', 'the wrapped key was made under another custodian context', { contextId });
      }
      if (blob.byteLength !== KEM_CIPHERTEXT_BYTES + CHECK_BYTES) throw notOfObject(contextId);
      const shared = decapsulate(key, blob.subarray(0, KEM_CIPHERTEXT_BYTES));
      const { dataKey, check } = derive(shared, binding);
      if (timingSafeEqual(check, blob.subarray(KEM_CIPHERTEXT_BYTES))) return dataKey;
      dataKey.fill(0);
      throw notOfObject(contextId);
    },
  };
}

/** Makes data key and check out of a shared secret, which it wipes. Both are bound to the object. */
function derive(
  shared: Uint8Array,
  binding: DataKeyBinding,
): { readonly dataKey: Uint8Array<ArrayBuffer>; readonly check: Uint8Array } {
  const info = concatBytes(INFO, bindingDigest(binding));
  const both = new Uint8Array(hkdfSync('sha256', shared, new Uint8Array(), info, DATA_KEY_BYTES + CHECK_BYTES));
  const keys = { dataKey: both.slice(0, DATA_KEY_BYTES), check: both.slice(DATA_KEY_BYTES) };
  both.fill(0);
  shared.fill(0);
  return keys;
}

function rootOf(contextId: RequestId): string {
  return `${ROOT}${contextId}`;
}

function notOfObject(contextId: RequestId): KmsError {
  return new KmsError('STATE_INVALID', 'the wrapped key was not made for this object, or was changed', { contextId });
}
