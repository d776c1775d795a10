/** A node, a user and their requests, for the tests of what a client checks in answers. */
import type { TypedPlaintextData } from '../../../wire/payloads.ts';
import { generateUserKeyPair } from '../../../wire/signcryption.ts';
import { parseUserDecryption } from '../../../wire/validate/decryption.ts';
import { createReferenceNode } from '../../helpers/reference-node.ts';
import { handleOf, userDecryptionRequest } from '../../helpers/requests.ts';

/** Who answers. */
export const node = createReferenceNode();
/** Who was not asked. */
export const otherNode = createReferenceNode(new Uint8Array(32).fill(9));
/** Who asks. */
export const user = generateUserKeyPair();
/** Extra data of the requests. */
export const extraData = Uint8Array.of(0xaa);

/** One plaintext of each kind. */
export const plaintexts: TypedPlaintextData[] = [
  { bytes: Uint8Array.of(1), fheType: 0 },
  { bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), fheType: 5 },
];

/** Their ciphertexts, as a request names them. */
export const ciphertexts = plaintexts.map(({ fheType }, i) => ({ fheType, externalHandle: handleOf(i + 1, fheType) }));
/** Their handles. */
export const handles = ciphertexts.map(({ externalHandle }) => externalHandle);

/** The request of the user. */
export const userRequest = parseUserDecryption(
  userDecryptionRequest({ typedCiphertexts: ciphertexts, encKey: user.encKey, extraData }),
);

/** A copy with one bit changed. */
export function flip(bytes: Uint8Array, at = bytes.byteLength - 1): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  return flipped;
}
