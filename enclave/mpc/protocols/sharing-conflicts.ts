/**
 * Verifiable secret sharing when two parties' values differ: who is unhappy with which dealer, and which dealer is caught.
 *
 * All decisions are taken on broadcast data, so all honest parties take the same. What is broadcast here concerns a pair
 * of which one is a liar, or whose dealer is: he knows it already. Spec: threshold protocols, section 2.6, steps 3 to 5.
 */
import { type Arithmetic, type BivariateShares, decodeExactly, type RingVector } from '../arithmetic.ts';
import { Scratch } from '../scratch.ts';
import type { Session } from '../session.ts';
import { broadcast } from './long-broadcast.ts';

/** What a party holds and has heard, for all dealers at once: vectors run over dealers, then over a dealer's secrets. */
export interface SharingViews<V> {
  /** Secrets of each dealer. */
  readonly length: number;
  /** Coefficients of F_me, from the constant on. */
  readonly rows: readonly V[];
  /** Coefficients of G_me, from the constant on. */
  readonly columns: readonly V[];
  /** r_me,j by j. */
  readonly masksOut: ReadonlyMap<number, V>;
  /** r_j,me by j. */
  readonly masksIn: ReadonlyMap<number, V>;
  /** a_ij as broadcast, by i, then j. */
  readonly a: Map<number, ReadonlyMap<number, V>>;
  /** b_ij as broadcast, by i, then j. */
  readonly b: Map<number, ReadonlyMap<number, V>>;
  /** One dealer's part of a vector. */
  of(all: V, dealer: number): V;
}

/** The values F(alpha_j, alpha_i) of one dealer that two parties see differently. */
export interface Conflict {
  readonly dealer: number;
  readonly i: number;
  readonly j: number;
}

/** Finds where a_ij and b_ji differ, in an order that is the same for everybody. Excluded parties are not asked. */
export function findConflicts<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  views: SharingViews<V>,
): Conflict[] {
  using scratch = new Scratch();
  const asked = session.parties.filter((party) => !session.corrupt.has(party));
  const conflicts: Conflict[] = [];
  for (const i of asked) {
    for (const j of asked) {
      const a = views.a.get(i)?.get(j);
      const b = views.b.get(j)?.get(i);
      if (!a || !b || arithmetic.equals(a, b)) continue;
      for (const dealer of asked) {
        if (!arithmetic.equals(scratch.own(views.of(a, dealer)), scratch.own(views.of(b, dealer)))) {
          conflicts.push({ dealer, i, j });
        }
      }
    }
  }
  return conflicts;
}

/**
 * Settles conflicts; excludes dealers who are caught. Without conflicts nothing is sent.
 *
 * @returns This party's shares of those dealers whose broadcast row it adopts.
 */
export async function resolveConflicts<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  dealt: BivariateShares<V>,
  views: SharingViews<V>,
  conflicts: readonly Conflict[],
): Promise<Map<number, V>> {
  if (conflicts.length === 0) return new Map();
  const unhappy = await findUnhappy(session, arithmetic, dealt, views, conflicts);
  for (const [dealer, parties] of unhappy) {
    const excluded = [...session.corrupt].filter((party) => !parties.has(party));
    if (parties.size + excluded.length > session.t) session.exclude(dealer, 'dealt what too many contradict');
  }
  const cases: Case[] = [...unhappy]
    .flatMap(([dealer, parties]) => [...parties].map((party) => ({ dealer, party })))
    .filter(({ dealer, party }) => !session.corrupt.has(dealer) && !session.corrupt.has(party))
    .sort((x, y) => x.dealer - y.dealer || x.party - y.party);
  return cases.length === 0 ? new Map() : hearRows(session, arithmetic, dealt, views, { unhappy, cases });
}

/** A party that contradicted a dealer. */
interface Case {
  readonly dealer: number;
  readonly party: number;
}

type Unhappy = ReadonlyMap<number, Set<number>>;

/** Step 3: the dealer and both parties of each conflict broadcast their values. Unhappy is who differs from the dealer. */
async function findUnhappy<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  dealt: BivariateShares<V>,
  views: SharingViews<V>,
  conflicts: readonly Conflict[],
): Promise<Unhappy> {
  const { me } = session;
  using scratch = new Scratch();
  const roles = rolesByParty(session.parties, conflicts);
  const rolesOf = (party: number): readonly Part[] => roles.get(party) ?? [];
  const mine = rolesOf(me).map(({ conflict: { dealer, i, j }, role }) => {
    if (role === 'dealer') return scratch.own(arithmetic.evaluate(dealt.rows[i - 1] ?? [], j));
    const all = scratch.own(role === 'i' ? arithmetic.evaluate(views.rows, j) : arithmetic.evaluate(views.columns, i));
    return scratch.own(views.of(all, dealer));
  });
  const said = await broadcastVectors(session, arithmetic, mine, (party) => rolesOf(party).length * views.length);
  const places = new Map([...roles.values()].flatMap((parts) => parts.map(({ key }, index) => [key, index] as const)));
  const valueSaid = (party: number, key: string): V | undefined => {
    const all = said.get(party);
    const start = (places.get(key) ?? 0) * views.length;
    return all && scratch.own(arithmetic.slice(all, start, start + views.length));
  };
  scratch.ownAll([...said.values()]);
  const unhappy = new Map<number, Set<number>>();
  for (const conflict of conflicts) {
    const dealers = valueSaid(conflict.dealer, keyOf(conflict, 'dealer'));
    if (!dealers) continue; // excluded by now
    for (const role of ['i', 'j'] as const) {
      const value = valueSaid(conflict[role], keyOf(conflict, role));
      if (value && arithmetic.equals(value, dealers)) continue;
      unhappy.set(conflict.dealer, (unhappy.get(conflict.dealer) ?? new Set()).add(conflict[role]));
    }
  }
  return unhappy;
}

/** What one party has to say about one conflict. */
interface Part {
  readonly conflict: Conflict;
  readonly role: keyof Conflict;
  readonly key: string;
}

function keyOf({ dealer, i, j }: Conflict, role: keyof Conflict): string {
  return `${dealer} ${i} ${j} ${role}`;
}

function rolesByParty(parties: readonly number[], conflicts: readonly Conflict[]): Map<number, Part[]> {
  const roles = new Map<number, Part[]>(parties.map((party) => [party, []]));
  for (const conflict of conflicts) {
    for (const role of ['dealer', 'i', 'j'] as const) {
      roles.get(conflict[role])?.push({ conflict, role, key: keyOf(conflict, role) });
    }
  }
  return roles;
}

/** Step 5: the dealer broadcasts each unhappy party's row, the happy ones their values on it. */
async function hearRows<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  dealt: BivariateShares<V>,
  views: SharingViews<V>,
  { unhappy, cases }: { readonly unhappy: Unhappy; readonly cases: readonly Case[] },
): Promise<Map<number, V>> {
  const { me, t, parties } = session;
  const { length } = views;
  using scratch = new Scratch();
  const isHappy = (party: number, dealer: number): boolean => !unhappy.get(dealer)?.has(party);
  /** What a party has to say, case by case: its size in elements. */
  const sizeOf = (party: number, { dealer }: Case): number => {
    if (party === dealer) return (t + 1) * length;
    return isHappy(party, dealer) ? length : 0;
  };
  const mine = cases.flatMap((one) => {
    if (one.dealer === me) return dealt.rows[one.party - 1] ?? [];
    if (!isHappy(me, one.dealer)) return [];
    const all = scratch.own(arithmetic.evaluate(views.columns, one.party));
    return [scratch.own(views.of(all, one.dealer))];
  });
  const said = await broadcastVectors(session, arithmetic, mine, (party) =>
    cases.reduce((sum, one) => sum + sizeOf(party, one), 0),
  );
  scratch.ownAll([...said.values()]);
  const partOf = (party: number, index: number, from: number, to: number): V | undefined => {
    const all = said.get(party);
    const start = cases.slice(0, index).reduce((sum, one) => sum + sizeOf(party, one), 0);
    return all && scratch.own(arithmetic.slice(all, start + from, start + to));
  };
  const adopted = new Map<number, V>();
  for (const [index, { dealer, party }] of cases.entries()) {
    const row = Array.from({ length: t + 1 }, (_, k) => partOf(dealer, index, k * length, (k + 1) * length));
    const known = row.filter((coefficient) => coefficient !== undefined);
    if (known.length !== t + 1) continue; // excluded by now
    const agreeing = parties.filter((other) => {
      if (other === dealer) return true;
      if (!isHappy(other, dealer)) return false;
      const value = partOf(other, index, 0, length);
      return value !== undefined && arithmetic.equals(value, scratch.own(arithmetic.evaluate(known, other)));
    });
    if (agreeing.length < 2 * t + 1) session.exclude(dealer, 'dealt a row that too few confirm');
    else if (party === me && known[0]) adopted.set(dealer, arithmetic.slice(known[0], 0, length));
  }
  return adopted;
}

/** Broadcasts vectors; excludes parties whose broadcast has not the size that everybody expects. */
async function broadcastVectors<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  mine: readonly V[],
  lengthOf: (party: number) => number,
): Promise<Map<number, V>> {
  const whole = mine.length === 0 ? arithmetic.zero(0) : arithmetic.concat(mine);
  const longest = Math.max(...session.parties.map(lengthOf));
  const published = await broadcast(session, arithmetic.encode(whole), longest * arithmetic.elementBytes);
  whole.dispose();
  const vectors = new Map<number, V>();
  for (const [party, body] of published) {
    const vector = decodeExactly(arithmetic, body, lengthOf(party));
    if (vector) vectors.set(party, vector);
    else session.exclude(party, 'a broadcast of another size');
  }
  return vectors;
}
