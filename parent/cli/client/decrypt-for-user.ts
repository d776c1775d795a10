/**
 * User decryption: the node encrypts the answer to the user's key; it is opened and checked here.
 */
import { toHex } from '../../../common/bytes.ts';
import type { UserDecryptionResponse } from '../../../proto/gen/kms_pb.js';
import { formatAddress, parseAddress } from '../../../wire/addresses.ts';
import type { RequestId } from '../../../wire/ids.ts';
import { encodeUserDecryptionPayload } from '../../../wire/payloads.ts';
import { verifyUserDecryption } from '../../../wire/verify-response.ts';
import { failure } from '../framework/failure.ts';
import { type UserAnswer, verifyAnswer } from './answer.ts';
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
  const asked = await askForUser(session, ask, user);
  const plaintexts = verifyUserDecryption(asked.response, {
    domain: ask.domain.parsed,
    handles: ask.items.map(({ handle }) => handle),
    extraData: asked.extraData,
    signer: parseAddress(ask.signer, 'signer'),
    clientAddress: user.address,
    encKey: user.encKey,
    seed: user.seed,
  });
  return userAnswer(ask, user, asked, showPlaintexts(plaintexts, ask.items));
}

/**
 * Asks one party of a quorum for its share of a user's answer and checks that this party signed it for this request. The
 * share says nothing by itself: `plaintexts` is empty.
 *
 * @throws {@link KmsError} as the node answers, or `REQUEST_INVALID`, `PERMISSION_DENIED` if the answer is not to be
 *   trusted.
 */
export async function askUserShare(
  session: Session,
  ask: DecryptionAsk,
  user: User,
  signal: AbortSignal,
): Promise<UserAnswer> {
  const answer = userAnswer(ask, user, await askForUser(session, ask, user, signal), []);
  verifyAnswer(answer, ask.signer);
  return answer;
}

interface Asked {
  readonly requestId: RequestId;
  readonly keyId: RequestId;
  readonly response: UserDecryptionResponse;
  readonly extraData: Uint8Array;
}

async function askForUser(session: Session, ask: DecryptionAsk, user: User, signal?: AbortSignal): Promise<Asked> {
  const { requestId = randomId() } = ask;
  const keyId = commonKey(ask.items);
  const response = await session.call(
    'UserDecryptSync',
    {
      requestId: { requestId },
      keyId: { requestId: keyId },
      typedCiphertexts: ask.items.map(toTypedCiphertext),
      clientAddress: formatAddress(user.address),
      encKey: user.encKey,
      domain: ask.domain.message,
      extraData: ask.extraData,
      ...ask.place,
    },
    signal,
  );
  return { requestId, keyId, response, extraData: signedExtraData(ask.extraData, response.extraData) };
}

function userAnswer(
  ask: DecryptionAsk,
  user: User,
  { requestId, keyId, response, extraData }: Asked,
  plaintexts: UserAnswer['plaintexts'],
): UserAnswer {
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
    plaintexts,
    payload: toHex(encodeUserDecryptionPayload(payload)),
    signature: toHex(response.signature),
    externalSignature: toHex(response.externalSignature),
    verified: true,
  };
}
