/** One round in which everybody sends one message to everybody. */
import type { Session } from './session.ts';

/** What a round of {@link exchange} may differ in. */
export interface ExchangeOptions {
  /** The round's number, if it was taken before. */
  readonly round?: number;
  /** Parties that send nothing in this round. */
  readonly skip?: ReadonlySet<number>;
}

/**
 * Sends one message to all, or one of its own to each, and returns what came: at most one message of each party, this
 * one's own included. Absent parties said nothing.
 *
 * @param payload - Public bytes for all; or a function that makes the, possibly secret, bytes for one party.
 */
export async function exchange(
  session: Session,
  payload: Uint8Array | ((to: number) => Uint8Array),
  options: ExchangeOptions = {},
): Promise<Map<number, Uint8Array>> {
  const round = options.round ?? session.takeRounds(1);
  const received = new Map<number, Uint8Array>();
  if (typeof payload === 'function') {
    for (const to of session.parties) if (to !== session.me) session.send(to, round, payload(to));
    received.set(session.me, payload(session.me));
  } else {
    session.sendToAll(round, payload);
    received.set(session.me, payload);
  }
  for await (const { from, body } of session.receive(round, options.skip)) received.set(from, body);
  return received;
}
