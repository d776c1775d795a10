/**
 * How much a listener spends on strangers: raw connections that have said nothing, handshakes under way, and slots
 * that belong to parties.
 *
 * Everything before the identity signature is evidence of nothing, so it may be dropped at any time: from the source
 * that holds the most, and there the oldest, since a good peer is done in milliseconds. After the signature a
 * handshake leaves that crowd and counts against its own party alone: no stranger can use up what a true party needs.
 * Design §4, "Strangers".
 */
import type { Role } from '../role.ts';

/** One handshake's face to the budget, passed to `acceptMesh`. */
export interface HandshakeGate {
  /**
   * Tells that the peer has proven to be this party (identity signature over the leaf key that TLS has proven), or,
   * for a role without a party key, that its chain holds. Call it once, before the expensive chain where possible.
   *
   * @returns What gives the slot back when the connection ends (idempotent), or undefined when this party has as many
   * connections as it may: refuse then with RESOURCE_EXHAUSTED.
   */
  admitParty(party: number, role: Role): (() => void) | undefined;
}

/** How many of each kind there may be at a time. */
export interface BudgetLimits {
  /** Raw connections that have not sent a whole ClientHello. */
  readonly silent: number;
  /** Handshakes of peers that have not proven who they are. */
  readonly handshakes: number;
  /** Of either, from one source. */
  readonly perSource: number;
  /** Of either, that are left to a source which has a verified connection, whoever else crowds in. */
  readonly reserved: number;
  /** Connections of one role of one party, handshakes after the identity signature included. */
  readonly perParty: number;
}

/** What a listener may spend unless told otherwise: some 30 MB at the very worst. */
export const BUDGET_LIMITS: BudgetLimits = { silent: 512, handshakes: 192, perSource: 96, reserved: 8, perParty: 16 };

/** How a budget stands. */
export interface BudgetStats {
  readonly silent: number;
  readonly handshakes: number;
  /** Admitted to a party's slots: last steps of the handshake, or verified. */
  readonly admitted: number;
  /** Strangers that were dropped to make room, since the start. */
  readonly evicted: number;
  /** Handshakes of true parties that had as many connections as they may. */
  readonly overParty: number;
}

/** One stranger's place. */
interface Place {
  readonly source: string;
  readonly drop: () => void;
}

/** Places in the order they were taken, by source. */
class Crowd {
  readonly #bySource = new Map<string, Set<Place>>();
  size = 0;

  add(place: Place): void {
    const places = this.#bySource.get(place.source) ?? new Set();
    this.#bySource.set(place.source, places.add(place));
    this.size += 1;
  }

  remove(place: Place): boolean {
    const places = this.#bySource.get(place.source);
    if (!places?.delete(place)) return false;
    if (places.size === 0) this.#bySource.delete(place.source);
    this.size -= 1;
    return true;
  }

  of(source: string): number {
    return this.#bySource.get(source)?.size ?? 0;
  }

  oldestOf(source: string): Place | undefined {
    return this.#bySource.get(source)?.values().next().value;
  }

  /** The source that holds the most beyond what is reserved for it. */
  heaviest(reservedFor: (source: string) => number): string | undefined {
    let heaviest: string | undefined;
    let most = 0;
    for (const [source, { size }] of this.#bySource) {
      const weight = size - reservedFor(source);
      if (weight <= most) continue;
      most = weight;
      heaviest = source;
    }
    return heaviest;
  }
}

/** One connection's way through the budget: silent, then in handshake, then admitted to its party's slots. */
export interface Ticket extends HandshakeGate {
  /** It has sent a whole ClientHello and is worth a TLS socket. */
  speaks(): void;
  /** It is gone, or failed. Safe at any time; an admitted party's slot is given back by its own function. */
  leave(): void;
}

/** The budget of one listener, or of several that share it. */
export class HandshakeBudget {
  readonly #limits: BudgetLimits;
  readonly #silent = new Crowd();
  readonly #handshakes = new Crowd();
  readonly #slots = new Map<string, number>();
  readonly #admittedFrom = new Map<string, number>();
  #admitted = 0;
  #evicted = 0;
  #overParty = 0;

  constructor(limits: Partial<BudgetLimits> = {}) {
    this.#limits = { ...BUDGET_LIMITS, ...limits };
  }

  /** How it stands. */
  stats(): BudgetStats {
    return {
      silent: this.#silent.size,
      handshakes: this.#handshakes.size,
      admitted: this.#admitted,
      evicted: this.#evicted,
      overParty: this.#overParty,
    };
  }

  /**
   * Takes a new connection in; somebody else may be dropped for it.
   *
   * @param shared - The source stands for many (a Unix socket, a proxy), so it has no limit of its own.
   * @param drop - Ends the connection; the budget has forgotten it by then.
   */
  enter(source: string, shared: boolean, drop: () => void): Ticket {
    const place: Place = { source, drop };
    this.#join(this.#silent, this.#limits.silent, place, shared);
    return {
      speaks: () => {
        if (this.#silent.remove(place)) this.#join(this.#handshakes, this.#limits.handshakes, place, shared);
      },
      admitParty: (party, role) => this.#admit(place, `${role} ${party}`),
      leave: () => void (this.#silent.remove(place) || this.#handshakes.remove(place)),
    };
  }

  #join(crowd: Crowd, limit: number, place: Place, shared: boolean): void {
    const { source } = place;
    if (!shared && crowd.of(source) >= this.#limits.perSource) this.#evict(crowd, source);
    else if (crowd.size >= limit) this.#evict(crowd, crowd.heaviest((from) => this.#reservedFor(from)) ?? source);
    crowd.add(place);
  }

  #reservedFor(source: string): number {
    return this.#admittedFrom.has(source) ? this.#limits.reserved : 0;
  }

  #evict(crowd: Crowd, source: string): void {
    const victim = crowd.oldestOf(source);
    if (!victim) return;
    crowd.remove(victim);
    this.#evicted += 1;
    victim.drop();
  }

  #admit(place: Place, slot: string): (() => void) | undefined {
    const taken = this.#slots.get(slot) ?? 0;
    if (taken >= this.#limits.perParty) {
      this.#overParty += 1;
      return undefined;
    }
    this.#handshakes.remove(place);
    add(this.#slots, slot, 1);
    add(this.#admittedFrom, place.source, 1);
    this.#admitted += 1;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      add(this.#slots, slot, -1);
      add(this.#admittedFrom, place.source, -1);
      this.#admitted -= 1;
    };
  }
}

function add(counts: Map<string, number>, key: string, more: number): void {
  const count = (counts.get(key) ?? 0) + more;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
