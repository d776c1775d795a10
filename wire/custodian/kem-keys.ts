/**
 * ML-KEM-512 key pairs of custodians and of backups. SECRET: seeds, private keys, and their stored form.
 *
 * The stored form is the expanded key of FIPS 203, which holds no seed; OpenSSL reads it as PKCS #8.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { decodeSafe, encodeSafe } from '../safe-serialize.ts';

/** Length of the seed d ‖ z. */
export const KEM_SEED_BYTES = 64;
/** Length of the expanded private key. */
const EXPANDED_KEY_BYTES = 1632;
/** Type of the stored private key. */
const PRIVATE_KEY_TYPE = 'UnifiedPrivateDecKey';
const VERSION = 0;
const ML_KEM_512 = 0;
/** PrivateKeyInfo { 0, id-alg-ml-kem-512, OCTET STRING { OCTET STRING, 1632 bytes } }, up to the key. */
const EXPANDED_PKCS8 = Uint8Array.from(Buffer.from('30820678020100300b06096086480165030404010482066404820660', 'hex'));

/** Returns the key pair that belongs to a 64-byte seed. The caller wipes the seed. */
export function kemKeyFromSeed(seed: Uint8Array): KeyObject {
  if (seed.byteLength !== KEM_SEED_BYTES) {
    throw new KmsError('KEY_INVALID', `an ML-KEM seed has ${KEM_SEED_BYTES} bytes`, { found: seed.byteLength });
  }
  return createPrivateKey({
    key: Buffer.from(seed.buffer, seed.byteOffset, seed.byteLength),
    format: 'raw-seed',
    asymmetricKeyType: 'ml-kem-512',
  });
}

/** Returns the 800-byte encapsulation key of a private key. */
export function encapsulationKeyOf(privateKey: KeyObject): Uint8Array {
  return Uint8Array.from(createPublicKey(privateKey).export({ format: 'raw-public' }));
}

/** Returns the stored form of a private key. SECRET, in an ArrayBuffer of its own, which the caller wipes. */
export function encodeKemPrivateKey(privateKey: KeyObject): Uint8Array {
  // The expanded key is the tail of the PKCS #8 form, whether that has the seed or not.
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
  try {
    return encodeSafe(PRIVATE_KEY_TYPE, 4 + 4 + 8 + EXPANDED_KEY_BYTES, (writer) =>
      writer.u32(VERSION).u32(ML_KEM_512).vec(pkcs8.subarray(-EXPANDED_KEY_BYTES)),
    );
  } finally {
    pkcs8.fill(0);
  }
}

/**
 * Reads what {@link encodeKemPrivateKey} wrote. The caller wipes the bytes.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for another layout, `KEY_INVALID` for a key that OpenSSL refuses.
 */
export function decodeKemPrivateKey(bytes: Uint8Array): KeyObject {
  const expanded = decodeSafe(bytes, PRIVATE_KEY_TYPE, (reader) => {
    reader.expectU32(VERSION, 'UnifiedPrivateDecKey version');
    reader.expectU32(ML_KEM_512, 'variant of a private key (0 is ML-KEM-512)');
    return reader.vec();
  });
  if (expanded.byteLength !== EXPANDED_KEY_BYTES) {
    throw new KmsError('KEY_INVALID', `an expanded ML-KEM-512 key has ${EXPANDED_KEY_BYTES} bytes`);
  }
  const pkcs8 = concatBytes(EXPANDED_PKCS8, expanded);
  try {
    return createPrivateKey({ key: Buffer.from(pkcs8.buffer), format: 'der', type: 'pkcs8' });
  } catch {
    // No cause: OpenSSL's words about a secret stay out of logs.
    throw new KmsError('KEY_INVALID', 'an expanded ML-KEM-512 key does not fit together');
  } finally {
    pkcs8.fill(0);
  }
}
