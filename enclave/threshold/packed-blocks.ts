/** How many blocks of four bits a squashed ciphertext has. */
import { fheType } from '../../wire/fhe-types.ts';

const BLOCK_BITS = 4;

/** Returns the number of blocks of a ciphertext of a type; of an unknown type, which nothing decrypts, one. */
export function packedBlocks(type: number): number {
  return Math.ceil((fheType(type)?.bits ?? 1) / BLOCK_BITS);
}
