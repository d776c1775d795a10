/**
 * User decryption: the node encrypts the answer to the user's key; it is opened and checked here.
 */
import { toHex } from '../../../common/bytes.ts';
import { formatAddress, parseAddress } from '../../../wire/addresses.ts';
import { encodeUserDecryptionPayload } from '../../../wire/payloads.ts';
import { verifyUserDecryption } from '../../../wire/verify-response.ts';
import { failure } from '../framework/failure.ts';
import type { UserAnswer } from './answer.ts';
import { commonKey, type DecryptionAsk, showPlaintexts, signedExtraData, toTypedCiphertext } from './decrypt.ts';
import { randomId } from './keys.ts';
import type { Session } from './session.ts';
import type { User } from './users.ts';

/**
 * Decrypts for a user, opens the answer with the user's secret seed and verifies it.
 *
 * @throws {@link KmsError} as the node answers, or `REQUEST_INVALID`, `CIPHERTEXT_INVALID` if the answer is not to be
 *   trusted.
 */
export async function decryptForUser(session: Session, ask: DecryptionAsk, user: User): Promise<UserAnswer> {
  const requestId = randomId();
  const keyId = commonKey(ask.items);
  const response = await session.call('UserDecryptSync', {
    requestId: { requestId },
    keyId: { requestId: keyId },
    typedCiphertexts: ask.items.map(toTypedCiphertext),
    clientAddress: formatAddress(user.address),
    encKey: user.encKey,
    domain: ask.domain.message,
    extraData: ask.extraData,
  });
  const extraData = signedExtraData(ask.extraData, response.extraData);
  const plaintexts = verifyUserDecryption(response, {
    domain: ask.domain.parsed,
    handles: ask.items.map(({ handle }) => handle),
    extraData,
    signer: parseAddress(ask.signer, 'signer'),
    clientAddress: user.address,
    encKey: user.encKey,
    seed: user.seed,
  });
  const { payload } = response;
  if (payload === undefined) throw failure('INTERNAL', 'the node sent an answer without payload', 'update the node');
  return {
    kind: 'user-decryption',
    requestId,
    keyId,
    signer: ask.signer,
    clientAddress: formatAddress(user.address),
    encKey: toHex(user.encKey),
    domain: ask.domain.text,
    extraData: toHex(extraData),
    handles: ask.items.map(({ handle }) => toHex(handle)),
    plaintexts: showPlaintexts(plaintexts, ask.items),
    payload: toHex(encodeUserDecryptionPayload(payload)),
    signature: toHex(response.signature),
    externalSignature: toHex(response.externalSignature),
    verified: true,
  };
}
