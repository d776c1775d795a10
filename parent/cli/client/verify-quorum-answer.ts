/**
 * Verification of a quorum's answer: more than t of the trusted parties signed the same, for the same request.
 */
import { isKmsError } from '../../../common/errors.ts';
import { failure } from '../framework/failure.ts';
import {
  type PublicAnswer,
  type QuorumPublicAnswer,
  type QuorumUserAnswer,
  type UserAnswer,
  verifyAnswer,
} from './answer.ts';

/** What of the answers held. */
export interface VerifiedSigners {
  /** Addresses that signed, in the order of the file. */
  readonly signers: readonly string[];
  /** Why others did not count, for people. */
  readonly refused: readonly string[];
}

/**
 * Verifies the answers of a quorum.
 *
 * A public answer needs t + 1 signatures over the plaintexts of the file. The shares of a user's answer are verified as what
 * 2t + 1 parties signed for this request; the value in them only the user can check.
 *
 * @param trusted - Addresses of all n = 3t + 1 parties; what the file says of t counts for nothing.
 * @throws {@link KmsError} `PERMISSION_DENIED` if too few of them count, naming why of each.
 */
export function verifyQuorumAnswer(
  answer: QuorumPublicAnswer | QuorumUserAnswer,
  trusted: readonly string[],
): VerifiedSigners {
  const threshold = Math.floor((trusted.length - 1) / 3);
  const least = answer.kind === 'quorum-public-decryption' ? threshold + 1 : 2 * threshold + 1;
  const signers: string[] = [];
  const refused: string[] = [];
  for (const part of answer.answers) {
    const fault = faultOf(part, answer, trusted, signers);
    if (fault === undefined) signers.push(part.signer);
    else refused.push(`${printable(part.signer)}: ${fault}`);
  }
  if (signers.length >= least) return { signers, refused };
  const what = `${signers.length} of the needed ${least} of ${trusted.length} trusted parties signed this answer`;
  const cause = refused.length === 0 ? undefined : new Error(refused.join('\n'));
  throw failure(
    'PERMISSION_DENIED',
    what,
    'do not use this answer, or name the parties that you trust with --signer',
    {},
    cause,
  );
}

/** Why one party's answer does not count. */
function faultOf(
  part: PublicAnswer | UserAnswer,
  whole: QuorumPublicAnswer | QuorumUserAnswer,
  trusted: readonly string[],
  counted: readonly string[],
): string | undefined {
  if (!trusted.includes(part.signer)) return 'it is no party that is trusted';
  if (counted.includes(part.signer)) return 'it is counted already';
  if (part.requestId !== whole.requestId || part.keyId !== whole.keyId) return 'it answers another request';
  if (requestOf(part) !== requestOf(whole.answers[0] ?? part)) return 'it answers a request with other contents';
  if (whole.kind === 'quorum-public-decryption') {
    const [claimed, signed] = [whole.plaintexts, part.plaintexts].map((plaintexts) => JSON.stringify(plaintexts));
    if (claimed !== signed) return 'it signed other plaintexts';
  }
  try {
    verifyAnswer(part, part.signer);
    return undefined;
  } catch (error) {
    if (!isKmsError(error)) throw error;
    return error.message;
  }
}

/** All that the request consisted of, as far as an answer tells. */
function requestOf(part: PublicAnswer | UserAnswer): string {
  const { kind, domain, handles, extraData } = part;
  const { name, version, chainId, verifyingContract } = domain;
  const user = part.kind === 'user-decryption' ? [part.clientAddress, part.encKey] : [];
  return JSON.stringify([kind, name, version, chainId, verifyingContract, handles, extraData, user]);
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 64);
}
