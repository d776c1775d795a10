/** node-tkms 0.12.8 as a dapp uses it with a threshold node set: many answers in, plaintexts out. */
import { toHex } from '../../common/bytes.ts';
import type { UserDecryptionResponse } from '../../proto/gen/kms_pb.js';
import { formatAddress } from '../../wire/addresses.ts';
import type { UserKeyPair } from '../../wire/signcryption.ts';
import type { UserDecryption } from '../../wire/validate/decryption.ts';
import { present } from './present.ts';
import { type ClientPlaintext, decodeAnswers } from './published-client.ts';

/**
 * Reconstructs a user decryption from the answers of a threshold node set, all checks on.
 *
 * @param addresses - Of all parties, in their order.
 * @throws Whatever the client throws when it refuses.
 */
export function reconstructWithPublishedClient(
  request: UserDecryption,
  responses: readonly UserDecryptionResponse[],
  keys: UserKeyPair,
  addresses: readonly Uint8Array[],
): ClientPlaintext[] {
  const answers = responses.map(({ payload, externalSignature, extraData }) => ({
    payload: present(payload),
    externalSignature,
    extraData: toHex(extraData),
  }));
  return decodeAnswers(
    request,
    answers,
    keys,
    addresses.map((address) => formatAddress(address)),
  );
}
