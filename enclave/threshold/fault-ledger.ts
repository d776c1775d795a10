/**
 * What this engine has seen other parties do wrong.
 *
 * Local knowledge: it is never forwarded, and never a reason to leave a party out of a later request. It says who,
 * what and how often, and nothing of any share. Design: section 3, rule 6.
 */

/** Kinds of wrongs. */
export const FAULTS = [
  /** A share that is not the party's: found by the decoder, or of the wrong size. */
  'wrong share',
  /** Two different shares for one request. */
  'revised share',
  /** Another request under an id that is known here. Its clients may have been lied to; it is no lie of the party. */
  'another ciphertext',
  /** A frame that is none. */
  'malformed frame',
  /** More than a peer may have here, or asks for. */
  'flood',
] as const;

/** A name out of {@link FAULTS}. */
export type FaultKind = (typeof FAULTS)[number];

/** One wrong, as it is told to whoever logs and counts. */
export interface QuorumFault {
  readonly party: number;
  readonly kind: FaultKind;
  /** The request it happened in, if any: 64 hexadecimal digits. */
  readonly requestId?: string;
}

/** A party's record. */
export interface FaultRecord {
  readonly counts: Readonly<Record<FaultKind, number>>;
  readonly last: FaultKind | undefined;
  /** On the monotonic clock. */
  readonly lastMs: number | undefined;
}

type Counts = Record<FaultKind, number>;

/** The record of all parties. */
export class FaultLedger {
  readonly #nowMs: () => number;
  readonly #onFault: ((fault: QuorumFault) => void) | undefined;
  readonly #records = new Map<number, { readonly counts: Counts; last: FaultKind; lastMs: number }>();

  constructor(nowMs: () => number, onFault?: (fault: QuorumFault) => void) {
    this.#nowMs = nowMs;
    this.#onFault = onFault;
  }

  /** Notes a wrong. */
  note(fault: QuorumFault): void {
    const { party, kind } = fault;
    const record = this.#records.get(party) ?? { counts: noFaults(), last: kind, lastMs: 0 };
    record.counts[kind] += 1;
    record.last = kind;
    record.lastMs = this.#nowMs();
    this.#records.set(party, record);
    this.#onFault?.(fault);
  }

  /** Returns what a party has done. */
  of(party: number): FaultRecord {
    const record = this.#records.get(party);
    if (!record) return { counts: noFaults(), last: undefined, lastMs: undefined };
    return { ...record, counts: { ...record.counts } };
  }

  /** Parties whose shares were wrong, in order. */
  liars(): number[] {
    const isLiar = (counts: Counts): boolean => counts['wrong share'] > 0 || counts['revised share'] > 0;
    return [...this.#records].flatMap(([party, { counts }]) => (isLiar(counts) ? [party] : [])).sort((a, b) => a - b);
  }
}

function noFaults(): Counts {
  return { 'wrong share': 0, 'revised share': 0, 'another ciphertext': 0, 'malformed frame': 0, flood: 0 };
}
