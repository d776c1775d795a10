/**
 * The user's ML-KEM-512 encapsulation key as requests carry it: a fixed 69-byte safe-serialization prefix, then the
 * 800 bytes of FIPS 203. Public data from a stranger, so everything that can be wrong with it is checked.
 */
import { KmsError } from '../common/errors.ts';

/** Length of an ML-KEM-512 encapsulation key. */
export const EK_BYTES = 800;
/** Safe-serialization header of `UnifiedPublicEncKey`, version 0, variant ML-KEM-512, length 800. */
const PREFIX = Uint8Array.from(
  Buffer.from(
    '0300000000000000302e35000000000300000000000000302e311300000000000000556e69666965645075626c6963456e634b6579' +
      '00000000000000002003000000000000',
    'hex',
  ),
);
/** Length of `enc_key`. */
export const ENC_KEY_BYTES: number = PREFIX.byteLength + EK_BYTES;

const VARIANT_AT = 57;
const UP_TO_VARIANT = PREFIX.subarray(0, VARIANT_AT);
const MODULUS = 3329;
/** Two polynomials of 256 coefficients, 12 bits each; the 32-byte seed behind them is free. */
const COEFFICIENT_BYTES = 768;

/**
 * Returns the 800 key bytes of an `enc_key`, as a view.
 *
 * Stricter than the published server: exactly 869 bytes, and every coefficient below the modulus (the check of the
 * encapsulation key in FIPS 203, 7.2), so that one key has one form.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` naming what is wrong.
 */
export function parseEncKey(encKey: Uint8Array): Uint8Array {
  if (encKey.byteLength > VARIANT_AT && Buffer.compare(encKey.subarray(0, VARIANT_AT), UP_TO_VARIANT) === 0) {
    if (encKey[VARIANT_AT] === 1) throw invalid('enc_key must hold an ML-KEM-512 key, not ML-KEM-1024');
  }
  if (encKey.byteLength !== ENC_KEY_BYTES) {
    throw invalid(`enc_key must have exactly ${ENC_KEY_BYTES} bytes`, { sizeBytes: encKey.byteLength });
  }
  if (Buffer.compare(encKey.subarray(0, PREFIX.byteLength), PREFIX) !== 0) {
    throw invalid('enc_key must begin with the header of a UnifiedPublicEncKey of ML-KEM-512');
  }
  const ek = encKey.subarray(PREFIX.byteLength);
  for (let at = 0; at < COEFFICIENT_BYTES; at += 3) {
    const low = ek[at] ?? 0;
    const middle = ek[at + 1] ?? 0;
    const high = ek[at + 2] ?? 0;
    if ((low | ((middle & 15) << 8)) >= MODULUS || ((middle >> 4) | (high << 4)) >= MODULUS) {
      throw invalid('enc_key holds a coefficient that is not reduced', { at: PREFIX.byteLength + at });
    }
  }
  return ek;
}

/** Returns the `enc_key` for an 800-byte encapsulation key. */
export function encodeEncKey(ek: Uint8Array): Uint8Array {
  if (ek.byteLength !== EK_BYTES) throw invalid('an ML-KEM-512 key has 800 bytes', { sizeBytes: ek.byteLength });
  const encKey = new Uint8Array(ENC_KEY_BYTES);
  encKey.set(PREFIX);
  encKey.set(ek, PREFIX.byteLength);
  return encKey;
}

function invalid(message: string, facts: Record<string, number> = {}): KmsError {
  return new KmsError('REQUEST_INVALID', message, { field: 'enc_key', ...facts });
}
