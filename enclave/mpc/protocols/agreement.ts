/**
 * Byzantine agreement on a vector of bits, one for each party: the phase-king protocol of Berman, Garay and Perry.
 *
 * If all honest parties begin with the same bit, that is the result; in any case all end with the same. Needs n > 3t.
 * Phases: three rounds each, one for each of t + 1 kings, of whom one is honest. Nothing here is secret.
 */
import { exchange } from '../exchange.ts';
import type { Session } from '../session.ts';

const UNDECIDED = 2;
/** First byte of a message of a third round. */
const NOTHING = 0;
const KING = 1;
const FINAL = 2;

/** What a party says in every round from now on; it sends nothing more. */
type FinalWords = Map<number, Uint8Array>;

/**
 * Agrees on a bit (0 or 1) for each party, in the parties' order.
 *
 * Takes 3(t - c + 1) round numbers when c parties are excluded. Ends after two of these rounds when every party proposes
 * the same: then no king can change any honest party's bits, and what this party would say from there on is known.
 */
export async function agreeOnBits(session: Session, input: Uint8Array): Promise<Uint8Array> {
  const { n, t } = session;
  const taking = session.parties.filter((party) => !session.corrupt.has(party));
  const kings = taking.slice(0, t - session.corrupt.size + 1);
  const first = session.takeRounds(3 * kings.length);
  const bits = Uint8Array.from(input);
  const final: FinalWords = new Map();
  for (const [phase, king] of kings.entries()) {
    const round = first + 3 * phase;
    const votes = await sayAndHear(session, round, bits, final);
    const proposed = bits.map((_, index) => [1, 0].find((bit) => count(votes, index, bit) >= n - t) ?? UNDECIDED);
    const proposals = await sayAndHear(session, round + 1, proposed, final);
    const strength = bits.map((_, index) => {
      const bit = [0, 1].find((value) => count(proposals, index, value) > t);
      if (bit === undefined) return 0;
      bits[index] = bit;
      return count(proposals, index, bit);
    });
    if (strength.every((proposers) => proposers === taking.length)) {
      session.sendToAll(round + 2, Uint8Array.of(FINAL, ...bits));
      return bits;
    }
    const kingBits = await hearKing(session, round + 2, king, bits, final);
    for (const [index, proposers] of strength.entries()) {
      if (proposers < n - t) bits[index] = kingBits?.[index] ?? 0;
    }
  }
  return bits;
}

async function sayAndHear(
  session: Session,
  round: number,
  values: Uint8Array,
  final: FinalWords,
): Promise<Uint8Array[]> {
  const heard = await exchange(session, Uint8Array.from(values), { round, skip: new Set(final.keys()) });
  for (const [party, words] of final) heard.set(party, words);
  return [...heard.values()].filter((said) => said.byteLength === session.n);
}

async function hearKing(
  session: Session,
  round: number,
  king: number,
  bits: Uint8Array,
  final: FinalWords,
): Promise<Uint8Array | undefined> {
  const mine = session.me === king ? Uint8Array.of(KING, ...bits) : Uint8Array.of(NOTHING);
  const heard = await exchange(session, mine, { round, skip: new Set(final.keys()) });
  for (const [party, said] of heard) {
    if (said[0] === FINAL && said.byteLength === session.n + 1) final.set(party, bitsOf(said));
  }
  const said = heard.get(king);
  const isKings = said?.[0] === KING && said.byteLength === session.n + 1;
  return final.get(king) ?? (isKings ? bitsOf(said) : undefined);
}

function bitsOf(said: Uint8Array): Uint8Array {
  return said.subarray(1).map((bit) => bit & 1);
}

function count(said: readonly Uint8Array[], index: number, value: number): number {
  return said.reduce((sum, values) => sum + (values[index] === value ? 1 : 0), 0);
}
