/**
 * Asks all parties of a quorum the same thing at once. A party that fails, or takes long, keeps nobody waiting once enough
 * have answered; it is a result of its own, to be reported.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import { describeFailure } from '../framework/failure.ts';
import type { MissingParty } from './quorum-session.ts';

/** What became of asking one party. */
export type PartyOutcome<A> =
  | { readonly party: number; readonly state: 'answered'; readonly answer: A }
  /** It answered with a failure, or with what is not to be believed. */
  | { readonly party: number; readonly state: 'failed'; readonly reason: string }
  | { readonly party: number; readonly state: 'down'; readonly reason: string }
  /** It had not answered when enough others had. */
  | { readonly party: number; readonly state: 'late' };

/** Settings of {@link askParties}. */
export interface AskOptions<A> {
  /** Whether these answers will do; the rest is waited for a moment longer. */
  readonly enough: (answers: readonly A[]) => boolean;
  readonly graceMs?: number | undefined;
  /** When nobody is waited for any longer, however few have answered. */
  readonly limitMs?: number | undefined;
}

/** A party that is a little slower is no news. */
const GRACE_MS = 3000;
/** Engines give up a request after ten minutes. */
const LIMIT_MS = 660_000;

/**
 * Asks every party that runs.
 *
 * @param ask - Throws if the answer is not to be believed.
 * @returns One outcome for each party of the quorum, ascending.
 */
export async function askParties<P extends { readonly party: number }, A>(
  quorum: { readonly running: readonly P[]; readonly missing: readonly MissingParty[] },
  ask: (party: P, signal: AbortSignal) => Promise<A>,
  { enough, graceMs = GRACE_MS, limitMs = LIMIT_MS }: AskOptions<A>,
): Promise<readonly PartyOutcome<A>[]> {
  const done = new AbortController();
  const outcomes = new Map<number, PartyOutcome<A>>();
  const sated = Promise.withResolvers<void>();
  const asked = quorum.running.map(async (session) => {
    const { party } = session;
    try {
      const answer = await ask(session, done.signal);
      if (done.signal.aborted) return;
      outcomes.set(party, { party, state: 'answered', answer });
    } catch (error) {
      if (done.signal.aborted) return;
      outcomes.set(party, { party, state: 'failed', reason: describeFailure(error).message });
    }
    if (enough([...outcomes.values()].flatMap((outcome) => (outcome.state === 'answered' ? [outcome.answer] : []))))
      sated.resolve();
  });
  const inTime = sated.promise.then(() => delay(graceMs, undefined, { signal: done.signal }).catch(() => {}));
  const limit = delay(limitMs, undefined, { signal: done.signal }).catch(() => {});
  await Promise.race([Promise.all(asked), inTime, limit]);
  done.abort();
  const late = quorum.running.map(({ party }): PartyOutcome<A> => outcomes.get(party) ?? { party, state: 'late' });
  const down = quorum.missing.map(({ party, reason }): PartyOutcome<A> => ({ party, state: 'down', reason }));
  return [...late, ...down].sort((a, b) => a.party - b.party);
}

/** Something that every one of these parties must do: the first that fails ends it for all. */
export async function atAllParties<P extends { readonly party: number }, A>(
  parties: readonly P[],
  act: (party: P, signal: AbortSignal) => Promise<A>,
): Promise<readonly PartyOutcome<A>[]> {
  const done = new AbortController();
  try {
    return await Promise.all(
      parties.map(async (one): Promise<PartyOutcome<A>> => {
        try {
          return { party: one.party, state: 'answered', answer: await act(one, done.signal) };
        } catch (error) {
          throw ofParty(error, one.party);
        }
      }),
    );
  } finally {
    done.abort();
  }
}

/** A failure says at which party it was. */
function ofParty(error: unknown, party: number): unknown {
  if (!isKmsError(error)) return error;
  return new KmsError(error.code, `party ${party}: ${error.message}`, { ...error.facts, party }, error.cause);
}

/** Returns the answers among outcomes. */
export function answersOf<A>(outcomes: readonly PartyOutcome<A>[]): readonly { party: number; answer: A }[] {
  return outcomes.flatMap((outcome) =>
    outcome.state === 'answered' ? [{ party: outcome.party, answer: outcome.answer }] : [],
  );
}

/** Returns a line for each party without an answer, for people. */
export function describeSilence(outcomes: readonly PartyOutcome<unknown>[]): readonly string[] {
  return outcomes.filter(({ state }) => state !== 'answered').map(describeOutcome);
}

/** Returns one line about what became of asking a party, for people. */
export function describeOutcome(outcome: PartyOutcome<unknown>): string {
  const who = `party ${outcome.party}`;
  switch (outcome.state) {
    case 'answered':
      return `${who} answered`;
    case 'late':
      return `${who} has not answered yet`;
    case 'down':
      return `${who} is down: ${outcome.reason}`;
    case 'failed':
      return `${who} failed: ${outcome.reason}`;
  }
}

/** Returns the greatest group of answers that say the same, and those that say something else. */
export function majority<A>(
  answers: readonly { readonly party: number; readonly answer: A }[],
  meaning: (answer: A) => string,
): {
  readonly agreed: readonly { party: number; answer: A }[];
  readonly others: readonly { party: number; answer: A }[];
} {
  const groups = Map.groupBy(answers, ({ answer }) => meaning(answer));
  const agreed = [...groups.values()].reduce<readonly { party: number; answer: A }[]>(
    (best, group) => (group.length > best.length ? group : best),
    [],
  );
  return { agreed, others: answers.filter((entry) => !agreed.includes(entry)) };
}
