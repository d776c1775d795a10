/**
 * Verifiable secret sharing, every party a dealer at once: after it each honest party holds a share of each dealer's secrets,
 * of degree t, whatever up to t parties did; a dealer who is caught has shared zeros.
 *
 * Rows, columns and masks are secret and go to one party each; what is broadcast is masked, or already known to a liar.
 * Spec: threshold protocols, section 2.6, whose letters are used here.
 */
import { KmsError } from '../../../common/errors.ts';
import { type Arithmetic, type BivariateShares, decodeExactly, type RingVector } from '../arithmetic.ts';
import { exchange } from '../exchange.ts';
import { Scratch } from '../scratch.ts';
import type { Session } from '../session.ts';
import { broadcast } from './long-broadcast.ts';
import { findConflicts, resolveConflicts, type SharingViews } from './sharing-conflicts.ts';

/**
 * Shares a vector of secrets of each party; all vectors have the same length.
 *
 * One round and one broadcast if nobody lies; up to two broadcasts more if somebody does.
 *
 * @param secret - This party's secrets, which stay its own.
 * @returns This party's shares by dealer, in the parties' order; the caller disposes them.
 * @throws KmsError `ABORTED` as the broadcast does.
 */
export async function shareVerifiably<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  secret: V,
): Promise<V[]> {
  using scratch = new Scratch();
  const dealt = arithmetic.shareBivariate(secret, session.n, session.t);
  for (const list of [...dealt.rows, ...dealt.columns]) scratch.ownAll(list);
  const views = await deal(session, arithmetic, dealt, secret.length, scratch);
  await crossCheck(session, arithmetic, views, scratch);
  const conflicts = findConflicts(session, arithmetic, views);
  const adopted = await resolveConflicts(session, arithmetic, dealt, views, conflicts);
  scratch.ownAll([...adopted.values()]);
  const [constants] = views.rows;
  if (!constants) throw new KmsError('INTERNAL', 'a row has a constant coefficient');
  return session.parties.map((dealer) => {
    if (session.corrupt.has(dealer)) return arithmetic.zero(secret.length);
    const own = adopted.get(dealer);
    return own ? arithmetic.slice(own, 0, secret.length) : views.of(constants, dealer);
  });
}

/** Round 1: rows and columns to their parties, and random masks for what will be broadcast. */
async function deal<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  dealt: BivariateShares<V>,
  length: number,
  scratch: Scratch,
): Promise<SharingViews<V>> {
  const { n, t, me, parties } = session;
  const masksOut = new Map(parties.map((party) => [party, scratch.own(arithmetic.random(n * length))]));
  const polynomials = 2 * (t + 1) * length;
  const heard = await exchange(session, (to) => {
    const [row = [], column = [], mask] = [dealt.rows[to - 1], dealt.columns[to - 1], masksOut.get(to)];
    const whole = arithmetic.concat([...row, ...column, ...(mask ? [mask] : [])]);
    const payload = arithmetic.encode(whole);
    whole.dispose();
    return payload;
  });
  const ofDealers = parties.map((party) => {
    const body = heard.get(party);
    const parsed = decodeExactly(arithmetic, body, polynomials + n * length);
    body?.fill(0);
    return scratch.own(parsed ?? arithmetic.zero(polynomials + n * length)); // missing is zero
  });
  /** Coefficient `k` of all dealers' polynomials, one dealer after the other. */
  const coefficient = (k: number): V =>
    scratch.own(
      arithmetic.concat(ofDealers.map((vector) => scratch.own(arithmetic.slice(vector, k * length, (k + 1) * length)))),
    );
  const mask = (party: number): V => {
    const vector = ofDealers[party - 1];
    if (!vector) throw new KmsError('INTERNAL', 'a party is out of range', { party, me });
    return scratch.own(arithmetic.slice(vector, polynomials, polynomials + n * length));
  };
  return {
    length,
    rows: Array.from({ length: t + 1 }, (_, k) => coefficient(k)),
    columns: Array.from({ length: t + 1 }, (_, k) => coefficient(t + 1 + k)),
    masksOut,
    masksIn: new Map(parties.map((party) => [party, mask(party)])),
    a: new Map(),
    b: new Map(),
    of: (all, dealer) => arithmetic.slice(all, (dealer - 1) * length, dealer * length),
  };
}

/** Round 2: everybody broadcasts a_ij = F_i(alpha_j) + r_ij and b_ij = G_i(alpha_j) + r_ji, for all dealers at once. */
async function crossCheck<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  views: SharingViews<V>,
  scratch: Scratch,
): Promise<void> {
  const { n, parties, me } = session;
  const masked = (polynomial: readonly V[], party: number, masks: ReadonlyMap<number, V>): V => {
    const value = scratch.own(arithmetic.evaluate(polynomial, party));
    const mask = masks.get(party);
    if (!mask) throw new KmsError('INTERNAL', 'a party has no mask', { party });
    return scratch.own(arithmetic.add(value, mask));
  };
  const others = parties.filter((party) => party !== me);
  const said = others.flatMap((party) => [
    masked(views.rows, party, views.masksOut),
    masked(views.columns, party, views.masksIn),
  ]);
  const whole = scratch.own(arithmetic.concat(said));
  const encoded = arithmetic.encode(whole);
  const published = await broadcast(session, encoded, encoded.byteLength);
  const size = n * views.length;
  for (const [party, body] of published) {
    const vector = decodeExactly(arithmetic, body, 2 * (n - 1) * size);
    if (!vector) {
      session.exclude(party, 'a broadcast of another size');
      continue;
    }
    scratch.own(vector);
    const part = (index: number): V => scratch.own(arithmetic.slice(vector, index * size, (index + 1) * size));
    const peers = parties.filter((other) => other !== party);
    views.a.set(party, new Map(peers.map((peer, index) => [peer, part(2 * index)])));
    views.b.set(party, new Map(peers.map((peer, index) => [peer, part(2 * index + 1)])));
  }
}
