/**
 * Reliable broadcast of long values: each is sent once, hashes of what came are broadcast, and who lacks a value that
 * counts is given it by those who hold it. Values are public.
 *
 * In place of the optimistic variant of threshold protocols, section 2.4, which broadcasts all values in full as soon as
 * one liar sends two.
 */
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { exchange } from '../exchange.ts';
import { protocolHash } from '../hash.ts';
import { type Part, packParts, unpackParts } from '../parts.ts';
import type { Session } from '../session.ts';
import { type Broadcast, reliableBroadcast } from './reliable-broadcast.ts';

const HASH_BYTES = 32;

/** What all parties said they have, and what follows: the same for every honest party. */
interface Verdict {
  /** The hash of each sender's value that counts. */
  readonly accepted: ReadonlyMap<number, Uint8Array>;
  /** Whether a party said that it has a sender's accepted value. */
  holds(party: number, sender: number): boolean;
}

/**
 * Broadcasts a value of each party. Six rounds if all agree; one more if somebody lacks a value.
 *
 * A value counts if n - t parties have it, so all honest parties have an honest sender's, and t + 1 honest ones have any
 * that counts. Of those who say that they have it, the first t + 1 give it to those who say that they have not.
 *
 * @param maxBytes - Largest value that a party may have; a longer one is none.
 * @throws KmsError as {@link reliableBroadcast}.
 */
export async function broadcast(session: Session, value: Uint8Array, maxBytes: number): Promise<Broadcast> {
  const { parties, me, n } = session;
  const received = await exchange(session, value);
  const mine = new Map<number, { readonly value: Uint8Array; readonly hash: Uint8Array }>();
  for (const party of parties) {
    const got = received.get(party);
    if (got && got.byteLength <= maxBytes) mine.set(party, { value: got, hash: protocolHash('BRACHABC', got) });
  }
  const list = packParts(parties.map((party) => mine.get(party)?.hash));
  const lists = await reliableBroadcast(session, list, 4 + n * (4 + HASH_BYTES));
  const verdict = judge(session, lists);
  const result = new Map<number, Uint8Array>();
  for (const sender of verdict.accepted.keys()) {
    const held = mine.get(sender);
    if (held && verdict.holds(me, sender)) result.set(sender, held.value);
  }
  await supply(session, verdict, result);
  if (session.corrupt.has(me)) throw new KmsError('ABORTED', 'the other parties have not heard this one');
  return new Map([...result].sort(([a], [b]) => a - b));
}

function judge(session: Session, lists: Broadcast): Verdict {
  const { parties, n, t } = session;
  const said = new Map<number, readonly Part[]>();
  for (const [party, list] of lists) {
    const hashes = unpackParts(list, n);
    if (hashes) said.set(party, hashes);
    else session.exclude(party, 'a broadcast of no hashes');
  }
  const accepted = new Map<number, Uint8Array>();
  for (const sender of parties) {
    if (session.corrupt.has(sender)) continue;
    const counts = new Map<string, number>();
    for (const hashes of said.values()) {
      const hash = hashes[sender - 1];
      if (!hash) continue;
      const count = (counts.get(toHex(hash)) ?? 0) + 1;
      counts.set(toHex(hash), count);
      if (count >= n - t) accepted.set(sender, hash);
    }
    if (!accepted.has(sender)) session.exclude(sender, 'no consistent broadcast');
  }
  const holds = (party: number, sender: number): boolean => {
    const [hash, theirs] = [accepted.get(sender), said.get(party)?.[sender - 1]];
    return hash !== undefined && theirs !== undefined && equalBytes(hash, theirs);
  };
  return { accepted, holds };
}

/** One round in which who lacks values gets them, if anybody does. Adds what this party gets to `result`. */
async function supply(session: Session, verdict: Verdict, result: Map<number, Uint8Array>): Promise<void> {
  const { parties, me, t } = session;
  const { accepted, holds } = verdict;
  const taking = parties.filter((party) => !session.corrupt.has(party));
  const senders = [...accepted.keys()];
  const lackedBy = (party: number): number[] => senders.filter((sender) => !holds(party, sender));
  const suppliersOf = (sender: number): number[] => taking.filter((party) => holds(party, sender)).slice(0, t + 1);
  if (taking.every((party) => lackedBy(party).length === 0)) return;
  const round = session.takeRounds(1);
  for (const to of taking) {
    const supplied = lackedBy(to).filter((sender) => suppliersOf(sender).includes(me));
    if (supplied.length === 0) continue;
    session.send(
      to,
      round,
      packParts(senders.map((sender) => (supplied.includes(sender) ? result.get(sender) : undefined))),
    );
  }
  const lacked = lackedBy(me);
  const suppliers = new Set(lacked.flatMap(suppliersOf));
  const others = new Set(parties.filter((party) => !suppliers.has(party)));
  for await (const { body } of session.receive(round, others)) {
    const values = unpackParts(body, senders.length);
    for (const sender of lacked) {
      const value = values?.[senders.indexOf(sender)];
      if (value && equalBytes(protocolHash('BRACHABC', value), accepted.get(sender) ?? value))
        result.set(sender, value);
    }
  }
  if (result.size < senders.length) throw new KmsError('ABORTED', 'a broadcast failed: more than t parties lie');
}
