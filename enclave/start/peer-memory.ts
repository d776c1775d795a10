/**
 * What a party remembers of the others' starts, and of its own that nobody has confirmed: kept in its manifest. Public.
 *
 * Records are signed by those they are of, so that memories can be shown and put together: of each party the newest counts.
 * Format: docs/formats/start-record.md.
 */
import { type CborValue, decodeStrict, encodeCanonical } from '../../attestation/cbor.ts';
import {
  compareStarts,
  readStart,
  type SignedStart,
  type StartVerdict,
  type VaultPoint,
} from '../../attestation/start/start-record.ts';
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';

/** The quorum was restarted by governance, and has to be reshared before it does anything else. */
export interface ReshareDue {
  /** Number of the restart. */
  readonly number: number;
  /** Digest of what governance signed: 48 bytes. */
  readonly digest: Uint8Array;
}

/** Who a party is, by the governed record in force. */
export interface KnownParty {
  readonly address: Uint8Array;
  readonly charterDigest: Uint8Array;
}

/** Nobody but parties of the governed record is remembered. */
export type PartyLookup = (party: number) => KnownParty | undefined;

const VERSION = 2;
/** As releases wrote it that knew no {@link PeerMemory.base}. */
const VERSION_BEFORE = 1;
const MAX_BYTES = 256 * 1024;
const NONCE_BYTES = 32;
/** Own starts without a confirmation that are kept; the oldest go first. */
const MOST_NONCES = 16;

/** See the file comment. */
export class PeerMemory {
  readonly #parties: PartyLookup;
  readonly #records = new Map<number, SignedStart>();
  #nonces: readonly Uint8Array[] = [];
  #reshareDue: ReshareDue | undefined;
  #base: VaultPoint | undefined;

  constructor(parties: PartyLookup) {
    this.#parties = parties;
  }

  /**
   * Reads a memory out of the own manifest.
   *
   * @throws KmsError `STATE_INVALID` if it is malformed, which this party's own release did not write.
   */
  static read(bytes: Uint8Array, parties: PartyLookup): PeerMemory {
    const memory = new PeerMemory(parties);
    if (bytes.length === 0) return memory;
    try {
      memory.#parse(decodeStrict(bytes, { maxBytes: MAX_BYTES, maxDepth: 2, canonical: true }));
    } catch (error) {
      if (!isKmsError(error)) throw error;
      const message = "what the vault's manifest remembers of other parties cannot be read";
      throw new KmsError('STATE_INVALID', `${message}: use the release that wrote it`, {}, error);
    }
    return memory;
  }

  /**
   * Returns the memory that goes into the very move of the head with which a start begins: from then on the vault knows which
   * state was the last that a confirmed start has written, however often it is started.
   *
   * @param found - The state before that move.
   * @throws KmsError As {@link read}.
   */
  static atStart(bytes: Uint8Array, found: VaultPoint): Uint8Array {
    const memory = PeerMemory.read(bytes, () => undefined);
    memory.#base ??= { sequence: found.sequence, digest: found.digest };
    return memory.encode();
  }

  /** Returns the one encoding. */
  encode(): Uint8Array {
    const due = this.#reshareDue;
    const records = [...this.#records].sort(([a], [b]) => a - b).map(([, { bytes }]) => bytes);
    const restart: CborValue = due === undefined ? null : [due.number, due.digest];
    const base: CborValue = this.#base === undefined ? null : [this.#base.sequence, this.#base.digest];
    return encodeCanonical([VERSION, records, [...this.#nonces], restart, base]);
  }

  /** What is remembered of a party; undefined if nothing is, or of another node than is this party now. */
  of(party: number): SignedStart | undefined {
    const found = this.#records.get(party);
    return found && this.#isOf(found) ? found : undefined;
  }

  /** All that is remembered, ascending by party. */
  all(): readonly SignedStart[] {
    const parties = [...this.#records.keys()].sort((a, b) => a - b);
    return parties.flatMap((party) => this.of(party) ?? []);
  }

  /** Whether a record is of the party that it names, as the governed record has it. */
  isGenuine(record: SignedStart): boolean {
    return this.#isOf(record);
  }

  /** Compares a genuine record with what is remembered of its party; the first of a party is newer than nothing. */
  judge({ start }: SignedStart): StartVerdict {
    const seen = this.of(start.party);
    return seen === undefined ? 'newer' : compareStarts(start, seen.start);
  }

  /** Keeps a genuine record if it is newer than what is remembered. Returns whether anything changed. */
  keep(record: SignedStart): boolean {
    const verdict = this.judge(record);
    if (verdict !== 'newer' && verdict !== 'moved') return false;
    this.#records.set(record.start.party, record);
    return true;
  }

  /** Parties that came out of a backup and have not been confirmed since. */
  restored(): readonly number[] {
    return this.all().flatMap(({ start }) => (start.source === undefined ? [] : [start.party]));
  }

  /** Own starts since the last one that was confirmed, oldest first. */
  get nonces(): readonly Uint8Array[] {
    return this.#nonces;
  }

  /** An own start begins. */
  begin(nonce: Uint8Array): void {
    this.#nonces = [...this.#nonces, Uint8Array.from(nonce)].slice(-MOST_NONCES);
  }

  /** The last own state that a confirmed start has written; undefined while the own start is one: then it is the newest. */
  get base(): VaultPoint | undefined {
    return this.#base;
  }

  /** The own start is confirmed: of earlier ones nobody will speak again. */
  confirmed(): void {
    this.#nonces = [];
    this.#base = undefined;
  }

  /** Set once governance has restarted the quorum. */
  get reshareDue(): ReshareDue | undefined {
    return this.#reshareDue;
  }

  /** Governance has restarted the quorum. */
  restart(due: ReshareDue): void {
    this.#reshareDue = due;
    this.#nonces = [];
  }

  #isOf({ start, address }: SignedStart): boolean {
    const party = this.#parties(start.party);
    if (party === undefined) return false;
    return equalBytes(party.address, address) && equalBytes(party.charterDigest, start.charterDigest);
  }

  #parse(value: CborValue): void {
    const [version, records, nonces, restart, base = null] = Array.isArray(value) ? value : [];
    const isKnown = Array.isArray(value) && (version === VERSION ? value.length === 5 : value.length === 4);
    if (!isKnown || (version !== VERSION && version !== VERSION_BEFORE)) throw malformed();
    if (!Array.isArray(records) || !Array.isArray(nonces)) throw malformed();
    for (const bytes of records) {
      const record = readStart(bytesOf(bytes));
      this.#records.set(record.start.party, record);
    }
    if (nonces.length > MOST_NONCES) throw malformed();
    this.#nonces = nonces.map((nonce) => bytesOf(nonce, NONCE_BYTES));
    if (restart !== null) this.#reshareDue = numbered(restart);
    if (base !== null) {
      const { number: sequence, digest } = numbered(base);
      this.#base = { sequence, digest };
    }
  }
}

/** A number and a digest: of a restart, or of a state of the vault. */
function numbered(value: unknown): ReshareDue {
  const [number, digest]: readonly unknown[] = Array.isArray(value) && value.length === 2 ? value : [];
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1) throw malformed();
  return { number, digest: bytesOf(digest, 48) };
}

function bytesOf(value: unknown, size?: number): Uint8Array {
  if (value instanceof Uint8Array && (size === undefined || value.length === size)) return Uint8Array.from(value);
  throw malformed();
}

const malformed = (): KmsError => new KmsError('REQUEST_INVALID', 'it is not as the format says');
