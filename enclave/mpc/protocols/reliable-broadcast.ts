/**
 * Synchronous reliable broadcast, every party to every party at once: all honest parties take the same value of each sender,
 * an honest sender's own, or all take none and exclude that sender. Values are public.
 *
 * Send, echo and vote as in section 2.4; then the parties agree, sender by sender, whether its value counts. The t + 1
 * rounds of votes of that section do not suffice: with n = 4, a liar who echoes and votes to single parties makes one
 * honest party accept with n - t votes while another sees n - t - 1 and refuses (test/protocol/split-votes.test.ts).
 */
import { toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { exchange } from '../exchange.ts';
import { protocolHash } from '../hash.ts';
import { packParts, unpackParts } from '../parts.ts';
import type { Session } from '../session.ts';
import { agreeOnBits } from './agreement.ts';

/** Values by sender, in the parties' order; a sender without one is excluded from the session. */
export type Broadcast = ReadonlyMap<number, Uint8Array>;

/** Echoed values of one sender by the hexadecimal form of their hash, and how many echoed each. */
type Echoes = Map<string, { readonly value: Uint8Array; readonly hash: Uint8Array; echoes: number }>;

/**
 * Broadcasts a value of each party. Five rounds if all agree, up to 3t + 6 if not; whole values are echoed, so
 * (n - 1)(n + 1) times their size leaves each party. For long ones see long-broadcast.ts.
 *
 * Why it works. Two honest parties never vote for different values of one sender: n - t echoes each would share an honest
 * echoer. A party's bit is 1 if it saw n - t votes; then every honest party sees t + 1 votes for that value and no t + 1
 * for any other. Agreement ends with 1 only if some honest party began with it, so everybody knows which value is meant,
 * and holds it: its honest voter saw n - 2t > t honest echoes, which went to all.
 *
 * @param maxBytes - Largest value that a party may have; a longer one is none, so that a liar's is not echoed by all.
 * @throws KmsError `ABORTED` when the others exclude this party, or when more than t parties lie.
 */
export async function reliableBroadcast(session: Session, value: Uint8Array, maxBytes: number): Promise<Broadcast> {
  const { parties, n, t, corrupt } = session;
  if (corrupt.size > t)
    throw new KmsError('ABORTED', 'more than t parties are excluded', { excluded: corrupt.size, t });
  const sent = await exchange(session, value);
  const echoes = await echo(session, sent, maxBytes);
  const votes = await exchange(
    session,
    packParts(echoes.map((ofSender) => [...ofSender.values()].find(({ echoes }) => echoes >= n - t)?.hash)),
  );
  const ballots = [...votes.values()].map((ballot) => unpackParts(ballot, n) ?? []);
  const candidates = parties.map((_, index) => mostVoted(ballots.map((ballot) => ballot[index])));
  const accepted = await agreeOnBits(
    session,
    Uint8Array.from(candidates, ({ votes }) => (votes >= n - t ? 1 : 0)),
  );
  const result = new Map<number, Uint8Array>();
  for (const [index, sender] of parties.entries()) {
    const { hash, votes = 0 } = candidates[index] ?? {};
    if (session.corrupt.has(sender)) continue;
    if (accepted[index] !== 1) {
      session.exclude(sender, 'no consistent broadcast');
      continue;
    }
    const known = hash && votes > t ? echoes[index]?.get(toHex(hash)) : undefined;
    if (!known) throw new KmsError('ABORTED', 'a broadcast failed: more than t parties lie', { sender });
    result.set(sender, known.value);
  }
  if (session.corrupt.has(session.me)) throw new KmsError('ABORTED', 'the other parties have not heard this one');
  return result;
}

async function echo(session: Session, sent: ReadonlyMap<number, Uint8Array>, maxBytes: number): Promise<Echoes[]> {
  const { parties, n } = session;
  const received = await exchange(session, packParts(parties.map((party) => upTo(maxBytes, sent.get(party)))));
  const lists = [...received.values()].map((list) => unpackParts(list, n) ?? []);
  return parties.map((_, index) => {
    const ofSender: Echoes = new Map();
    for (const list of lists) {
      const value = upTo(maxBytes, list[index]);
      if (!value) continue;
      const hash = protocolHash('BRACHABC', value);
      const key = toHex(hash);
      const entry = ofSender.get(key) ?? { value, hash, echoes: 0 };
      entry.echoes += 1;
      ofSender.set(key, entry);
    }
    return ofSender;
  });
}

function upTo(maxBytes: number, value: Uint8Array | undefined): Uint8Array | undefined {
  return value && value.byteLength <= maxBytes ? value : undefined;
}

function mostVoted(ballots: readonly (Uint8Array | undefined)[]): { hash?: Uint8Array; votes: number } {
  const counts = new Map<string, { hash: Uint8Array; votes: number }>();
  for (const hash of ballots) {
    if (!hash) continue;
    const entry = counts.get(toHex(hash)) ?? { hash, votes: 0 };
    entry.votes += 1;
    counts.set(toHex(hash), entry);
  }
  return [...counts.values()].reduce((best, entry) => (entry.votes > best.votes ? entry : best), { votes: 0 });
}
