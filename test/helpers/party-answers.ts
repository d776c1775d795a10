/**
 * What a client of a live party asks for and checks: requests with known plaintexts, answers verified against the
 * node's published address.
 */

import type { PublicDecryptionResponse, UserDecryptionResponse } from '../../proto/gen/kms_pb.js';
import { parseAddress } from '../../wire/addresses.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import { verifyPublicDecryption, verifyUserDecryption } from '../../wire/verify-response.ts';
import type { TestUser } from './party-requests.ts';
import { handleOf } from './requests.ts';
import { TEST_DOMAIN } from './start-party.ts';

/** Returns the address that the node publishes, fetched as clients do. */
export async function publishedSigner(publicUrl: string): Promise<Uint8Array> {
  const response = await fetch(`${publicUrl}/VerfAddress/${SIGNING_KEY_ID}`);
  return parseAddress(await response.text(), 'signer');
}

/** Verifies the answer to a request of one euint64 and returns its value. */
export function publicValue(response: PublicDecryptionResponse, signer: Uint8Array): bigint {
  const [plaintext] = verifyPublicDecryption(response, { ...COMMON, signer });
  return readEuint64(plaintext?.bytes);
}

/** As {@link publicValue}, for a user's answer. */
export function userValue(response: UserDecryptionResponse, signer: Uint8Array, user: TestUser): bigint {
  const { encKey, seed, address: clientAddress } = user;
  const [plaintext] = verifyUserDecryption(response, { ...COMMON, signer, encKey, seed, clientAddress });
  return readEuint64(plaintext?.bytes);
}

const COMMON = { domain: TEST_DOMAIN.parsed, handles: [handleOf(1, 5)], extraData: new Uint8Array() };

function readEuint64(bytes: Uint8Array | undefined): bigint {
  return Buffer.from(bytes ?? []).readBigUInt64LE();
}
