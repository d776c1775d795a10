/**
 * Plaintexts as an ABI tuple: what a public decryption signs and hands out.
 */
import { KmsError } from '../common/errors.ts';
import { fheType } from './fhe-types.ts';

const WORD = 32;

/**
 * ABI-encodes plaintexts as a tuple of uint256: 32 big-endian bytes each, no offsets.
 *
 * @throws {@link KmsError} `TASK_FAILED` for a type that does not fit a word or a plaintext of another width.
 */
export function abiEncodePlaintexts(
  plaintexts: readonly { readonly bytes: Uint8Array; readonly fheType: number }[],
): Uint8Array {
  const encoded = new Uint8Array(plaintexts.length * WORD);
  plaintexts.forEach(({ bytes, fheType: number }, index) => {
    const type = fheType(number);
    if (type === undefined || !type.abiEncodable || bytes.byteLength !== type.sizeBytes) {
      throw new KmsError('TASK_FAILED', 'a plaintext of this type cannot be ABI-encoded', { index, fheType: number });
    }
    const end = (index + 1) * WORD - 1;
    for (let i = 0; i < bytes.byteLength; i++) encoded[end - i] = bytes[i] ?? 0;
  });
  return encoded;
}
