/**
 * Public decryption: sends ciphertexts, checks the node's answer and its signatures.
 */
import { toHex } from '../../../common/bytes.ts';
import { parseAddress } from '../../../wire/addresses.ts';
import type { RequestId } from '../../../wire/ids.ts';
import { encodePublicDecryptionPayload, type TypedPlaintextData } from '../../../wire/payloads.ts';
import { verifyPublicDecryption } from '../../../wire/verify-response.ts';
import { failure } from '../framework/failure.ts';
import type { PlaintextText, PublicAnswer } from './answer.ts';
import { type CiphertextItem, formatValue, typeName } from './ciphertext-file.ts';
import { type RequestContext, randomId } from './keys.ts';
import type { Session } from './session.ts';

/** What a decryption asks for. */
export interface DecryptionAsk extends RequestContext {
  readonly items: readonly CiphertextItem[];
  /** Address whose signature is required. */
  readonly signer: string;
  /** A fresh one if absent: the parties of a quorum are asked under one id. */
  readonly requestId?: RequestId | undefined;
}

/**
 * Decrypts publicly and verifies the answer.
 *
 * @throws {@link KmsError} as the node answers, or `REQUEST_INVALID` if the answer is not to be trusted.
 */
export async function decryptPublicly(
  session: Session,
  ask: DecryptionAsk,
  signal?: AbortSignal,
): Promise<PublicAnswer> {
  const { requestId = randomId() } = ask;
  const keyId = commonKey(ask.items);
  const response = await session.call(
    'PublicDecryptSync',
    {
      requestId: { requestId },
      keyId: { requestId: keyId },
      ciphertexts: ask.items.map(toTypedCiphertext),
      domain: ask.domain.message,
      extraData: ask.extraData,
      ...ask.place,
    },
    signal,
  );
  const extraData = signedExtraData(ask.extraData, response.extraData);
  const plaintexts = verifyPublicDecryption(response, {
    requestId,
    domain: ask.domain.parsed,
    handles: ask.items.map(({ handle }) => handle),
    extraData,
    signer: parseAddress(ask.signer, 'signer'),
  });
  const verificationKey = response.payload?.verificationKey ?? new Uint8Array();
  return {
    kind: 'public-decryption',
    requestId,
    keyId,
    signer: ask.signer,
    domain: ask.domain.text,
    extraData: toHex(extraData),
    handles: ask.items.map(({ handle }) => toHex(handle)),
    plaintexts: showPlaintexts(plaintexts, ask.items),
    payload: toHex(encodePublicDecryptionPayload({ verificationKey, plaintexts, requestId })),
    signature: toHex(response.signature),
    externalSignature: toHex(response.externalSignature),
    verified: true,
  };
}

/**
 * Returns the extra data that must be signed: those asked for. A node may be set to treat the single byte 0x00 as
 * empty, as clients of 0.12 expect, and says so by answering empty ones.
 */
export function signedExtraData(asked: Uint8Array, answered: Uint8Array): Uint8Array {
  return toHex(asked) === '00' && answered.byteLength === 0 ? answered : asked;
}

/** Returns a ciphertext as requests carry it. */
export function toTypedCiphertext(item: CiphertextItem): {
  ciphertext: Uint8Array;
  fheType: number;
  externalHandle: Uint8Array;
  ciphertextFormat: number;
} {
  return {
    ciphertext: item.ciphertext,
    fheType: item.fheType,
    externalHandle: item.handle,
    ciphertextFormat: item.format,
  };
}

/** Returns the one key that all ciphertexts are under. @throws {@link KmsError} with exit code 2 if they differ. */
export function commonKey(items: readonly CiphertextItem[]): CiphertextItem['keyId'] {
  const [first, ...rest] = items;
  if (first !== undefined && rest.every(({ keyId }) => keyId === first.keyId)) return first.keyId;
  throw failure(
    'REQUEST_INVALID',
    first === undefined ? 'there is nothing to decrypt' : 'the ciphertexts are under different keys',
    'give one or more ciphertext files of one key',
    { usage: true },
  );
}

/** Returns plaintexts as answers show them. */
export function showPlaintexts(
  plaintexts: readonly TypedPlaintextData[],
  items: readonly CiphertextItem[],
): PlaintextText[] {
  return plaintexts.map(({ bytes, fheType }, index) => ({
    type: typeName(fheType),
    value: formatValue(bytes, fheType),
    handle: toHex(items[index]?.handle ?? new Uint8Array()),
  }));
}
