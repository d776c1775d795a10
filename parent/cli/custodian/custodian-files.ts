/**
 * Files that travel between custodians and operators: setup messages, recovery requests, answers, in base64 as the
 * published tool prints them. All of it is public.
 */
import { fromHex } from '../../../common/bytes.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import { parseNumber } from '../governance/numbers.ts';
import { readBytes } from '../governance/object-files.ts';

/** Text that the published tool puts in front, so that its output can be given as it is. */
const PREFIXES = ['The custodian setup message is: ', 'The custodian recovery output is: '];
const MOST_CUSTODIANS = 15;

/**
 * Reads base64 text, with or without line breaks and what the published tool writes in front of it.
 *
 * @throws {@link KmsError} `NOT_FOUND`, or `REQUEST_INVALID` if it is no base64.
 */
export async function readBase64(path: string): Promise<Uint8Array> {
  let text = (await readBytes(path)).toString('latin1').trim();
  for (const prefix of PREFIXES) if (text.startsWith(prefix)) text = text.slice(prefix.length);
  const packed = text.replace(/\s+/g, '');
  if (packed === '' || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(packed)) {
    throw failure('REQUEST_INVALID', `${path} holds no base64`, 'give the file as it was handed over');
  }
  return Uint8Array.from(Buffer.from(packed, 'base64'));
}

/** Reads the number of a custodian. */
export function parseRole(text: string): number {
  const role = parseNumber(text, '--role');
  if (role < 1 || role > MOST_CUSTODIANS) {
    throw usageFailure(`a custodian has a number from 1 to ${MOST_CUSTODIANS}`, 'give the one on your sheet');
  }
  return role;
}

/** Reads a challenge. */
export function parseChallenge(text: string): Uint8Array {
  if (!/^[0-9a-fA-F]{32}$/.test(text)) {
    throw usageFailure('a challenge is 16 bytes in hex', "give what 'arca custodian challenge' printed");
  }
  return fromHex(text);
}
