/**
 * Decryption by a quorum: all parties are asked under one id; what more than t of them signed is the answer.
 *
 * For a user every party gives a share that only the user's secret opens; the published client puts them together, here
 * as in a dapp.
 */
import { isKmsError } from '../../../common/errors.ts';
import { failure } from '../framework/failure.ts';
import type { QuorumPublicAnswer, QuorumUserAnswer, UserAnswer } from './answer.ts';
import { answersOf, askParties, describeSilence, majority, type PartyOutcome } from './ask-parties.ts';
import { commonKey, type DecryptionAsk, decryptPublicly, showPlaintexts } from './decrypt.ts';
import { askUserShare } from './decrypt-for-user.ts';
import { randomId } from './keys.ts';
import { openUserShares } from './open-user-shares.ts';
import { type PartySession, type QuorumSession, requireRunning } from './quorum-session.ts';
import type { Session } from './session.ts';
import type { User } from './users.ts';

/** How long those who are late are waited for when the shares of the others do not fit together. */
const LATE_LIMIT_MS = 60_000;

/** What is asked of all parties: each must sign with the address that the governed record names. */
export type QuorumAsk = Omit<DecryptionAsk, 'signer' | 'requestId'>;

/** An answer, and what became of each party. */
export interface QuorumResult<A> {
  readonly answer: A;
  /** Parties that signed it, or gave a share. */
  readonly agreed: readonly number[];
  /** For people: who is missing, failed, lied, or signed something else. */
  readonly others: readonly string[];
}

/**
 * Decrypts publicly.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if too few parties run, `ABORTED` if no t + 1 of them signed the same.
 */
export async function decryptByQuorum(
  quorum: QuorumSession,
  ask: QuorumAsk,
): Promise<QuorumResult<QuorumPublicAnswer>> {
  const { threshold } = quorum;
  requireRunning(quorum, 2 * threshold + 1, 'a decryption');
  const requestId = randomId();
  const meaning = (answer: { readonly plaintexts: unknown; readonly extraData: string }): string =>
    JSON.stringify([answer.plaintexts, answer.extraData]);
  const outcomes = await askParties(
    quorum,
    (session, signal) => decryptPublicly(patient(session), { ...ask, requestId, signer: session.address }, signal),
    { enough: (answers) => largest(answers.map(meaning)) > threshold },
  );
  const { agreed, others } = majority(answersOf(outcomes), ({ plaintexts, extraData }) =>
    meaning({ plaintexts, extraData }),
  );
  const [first] = agreed;
  const differing = others.map(
    ({ party, answer }) => `party ${party} disagrees: it signed ${showValues(answer.plaintexts)}`,
  );
  const silent = [...differing, ...describeSilence(outcomes)];
  if (first === undefined || agreed.length <= threshold) throw tooFew(agreed.length, threshold + 1, silent);
  return {
    answer: {
      kind: 'quorum-public-decryption',
      threshold,
      requestId,
      keyId: first.answer.keyId,
      plaintexts: first.answer.plaintexts,
      verified: true,
      answers: agreed.map(({ answer }) => answer),
    },
    agreed: agreed.map(({ party }) => party),
    others: silent,
  };
}

/**
 * Decrypts for a user.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if too few parties run or the published client is not installed, `ABORTED` if fewer
 *   than 2t + 1 gave a share, `CIPHERTEXT_INVALID` if the shares do not fit together.
 */
export async function decryptForUserByQuorum(
  quorum: QuorumSession,
  ask: QuorumAsk,
  user: User,
): Promise<QuorumResult<QuorumUserAnswer>> {
  const { threshold } = quorum;
  const least = 2 * threshold + 1;
  requireRunning(quorum, least, 'a decryption');
  const requestId = randomId();
  const collect = (enough: number, limitMs?: number): Promise<readonly PartyOutcome<UserAnswer>[]> =>
    askParties(
      quorum,
      (session, signal) => askUserShare(patient(session), { ...ask, requestId, signer: session.address }, user, signal),
      { enough: (answers) => answers.length >= enough, limitMs },
    );
  const params = quorum.running[0]?.local.params ?? 'default';
  const open = async (outcomes: readonly PartyOutcome<UserAnswer>[]) => {
    const shares = answersOf(outcomes);
    const silent = describeSilence(outcomes);
    if (shares.length < least) throw tooFew(shares.length, least, silent);
    const answers = shares.map(({ answer }) => answer);
    const opened = await openUserShares({ answers, addresses: quorum.addresses, least, params, user });
    const liars = opened.wrong.flatMap((index) => shares[index]?.party ?? []);
    const agreed = shares.map(({ party }) => party).filter((party) => !liars.includes(party));
    const wrong = liars.map((party) => `party ${party} lies: its share is wrong, and was corrected`);
    return { answers, plaintexts: opened.plaintexts, agreed, others: [...wrong, ...silent] };
  };
  const first = await collect(least);
  const { answers, plaintexts, agreed, others } = await open(first).catch(async (error) => {
    // One of the first lied, and the shares of those who are late correct it.
    if (!isKmsError(error, 'CIPHERTEXT_INVALID') || first.every(({ state }) => state !== 'late')) throw error;
    return await open(await collect(quorum.running.length, LATE_LIMIT_MS));
  });
  return {
    answer: {
      kind: 'quorum-user-decryption',
      threshold,
      requestId,
      keyId: commonKey(ask.items),
      plaintexts: showPlaintexts(plaintexts, ask.items),
      verified: true,
      answers,
    },
    agreed,
    others,
  };
}

/**
 * A party may be busy for longer than it holds a call: it loads keys at the first use, or waits for others to be asked. It
 * is then asked again under the same id.
 */
function patient(session: PartySession): Session {
  return { ...session, call: session.poll };
}

function showValues(plaintexts: readonly { readonly type: string; readonly value: string }[]): string {
  return plaintexts.map(({ type, value }) => `${type} ${value}`).join(', ');
}

function largest(meanings: readonly string[]): number {
  return Math.max(0, ...[...Map.groupBy(meanings, (text) => text).values()].map(({ length }) => length));
}

function tooFew(agreed: number, needed: number, others: readonly string[]): Error {
  const what = `${agreed} of the needed ${needed} parties gave the same answer`;
  const cure = "see 'arca status'; a key made in an epoch of its own is asked for with --epoch, and --context";
  return failure('ABORTED', what, cure, { agreed, needed }, new Error(others.join('\n')));
}
