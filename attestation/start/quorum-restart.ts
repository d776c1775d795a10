/**
 * What governance signs to restart a quorum of which more parties came out of backups than may forget: from which starts it
 * goes on. Public. Format: docs/formats/start-record.md.
 *
 * The records in it are signed by their parties, so that every engine sees for itself that these are the newest that
 * 2t + 1 parties know of.
 */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { type CborValue, decodeStrict, encodeCanonical } from '../cbor.ts';
import { compareStarts, readStart, type SignedStart } from './start-record.ts';

/** See the file comment. */
export interface QuorumRestart {
  readonly network: string;
  /** 32 bytes. */
  readonly context: Uint8Array;
  /** One more than that of any restart that the parties know of. */
  readonly number: number;
  /** Starts of at least 2t + 1 parties, as they say them of themselves; ascending by party. */
  readonly starts: readonly SignedStart[];
  /** What is remembered of parties that is not among their own starts' past; ascending by party. */
  readonly remembered: readonly SignedStart[];
}

const LABEL = 'arca-quorum-restart-1';
const FIELDS = 5;
/** Most bytes: two records of each of 128 parties. */
const MAX_BYTES = 512 * 1024;
const MAX_RECORDS = 128;
const NETWORK = /^[\x21-\x7e]{1,64}$/;

/** Returns the fields of a restart under the names that the format gives them. */
export function restartFields(restart: QuorumRestart): ReadonlyMap<string, CborValue> {
  return new Map<string, CborValue>([
    ['context', restart.context],
    ['network', restart.network],
    ['number', restart.number],
    ['remembered', restart.remembered.map(({ bytes }) => bytes)],
    ['starts', restart.starts.map(({ bytes }) => bytes)],
  ]);
}

/** Returns the one encoding. Its SHA-384 digest is the subject of a proposal of kind `quorum-restart`. */
export function encodeRestart(restart: QuorumRestart): Uint8Array<ArrayBuffer> {
  return encodeCanonical([LABEL, restartFields(restart)]);
}

/** Returns SHA-384 of an encoded restart. */
export function restartDigest(encoded: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha384').update(encoded).digest());
}

/**
 * Reads a restart; the signatures of all records in it hold.
 *
 * @throws KmsError `REQUEST_INVALID` if it is malformed; `PERMISSION_DENIED` if a record in it is forged.
 */
export function decodeRestart(bytes: Uint8Array): QuorumRestart {
  const value = decodeStrict(bytes, { maxBytes: MAX_BYTES, maxDepth: 3, canonical: true });
  const fields = Array.isArray(value) && value.length === 2 && value[0] === LABEL ? value[1] : undefined;
  if (!(fields instanceof Map) || fields.size !== FIELDS) throw malformed();
  const network: unknown = fields.get('network');
  const context: unknown = fields.get('context');
  const number: unknown = fields.get('number');
  if (typeof network !== 'string' || !NETWORK.test(network)) throw malformed();
  if (!(context instanceof Uint8Array) || context.length !== 32) throw malformed();
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1) throw malformed();
  return {
    network,
    context: Uint8Array.from(context),
    number,
    starts: readRecords(fields.get('starts')),
    remembered: readRecords(fields.get('remembered')),
  };
}

function readRecords(value: unknown): readonly SignedStart[] {
  if (!Array.isArray(value) || value.length > MAX_RECORDS) throw malformed();
  const records = value.map((bytes: unknown) => {
    if (!(bytes instanceof Uint8Array)) throw malformed();
    return readStart(bytes);
  });
  const isAscending = records.every(({ start }, at) => start.party > (records[at - 1]?.start.party ?? 0));
  if (!isAscending) throw malformed();
  return records;
}

const malformed = (): KmsError =>
  new KmsError('REQUEST_INVALID', 'a restart needs its five fields, each in its bounds');

/** What one party says when it is asked. */
export interface PartyWord {
  /** Its own start. */
  readonly own: SignedStart;
  /** What it remembers of others. */
  readonly remembered: readonly SignedStart[];
}

/**
 * Puts together what the parties say: of each party its own start, and the newest that others remember where that is not
 * of the past of its own.
 */
export function makeRestart(
  place: Pick<QuorumRestart, 'network' | 'context' | 'number'>,
  words: readonly PartyWord[],
): QuorumRestart {
  const starts = newestOf(words.map(({ own }) => own));
  const own = new Map(starts.map((record) => [record.start.party, record.start]));
  const remembered = newestOf(words.flatMap((word) => word.remembered)).filter(({ start }) => {
    const now = own.get(start.party);
    return now === undefined || !goesOn(compareStarts(now, start));
  });
  return { ...place, starts, remembered };
}

function newestOf(records: readonly SignedStart[]): readonly SignedStart[] {
  const newest = new Map<number, SignedStart>();
  for (const record of records) {
    const { party } = record.start;
    const known = newest.get(party);
    const verdict = known === undefined ? 'newer' : compareStarts(record.start, known.start);
    if (verdict === 'newer' || verdict === 'moved') newest.set(party, record);
  }
  return [...newest.values()].sort((a, b) => a.start.party - b.start.party);
}

const goesOn = (verdict: ReturnType<typeof compareStarts>): boolean =>
  verdict === 'newer' || verdict === 'moved' || verdict === 'same';

/** Who the parties are, by the governed record in force. */
export interface RestartView {
  readonly network: string;
  readonly context: Uint8Array;
  /** Numbers of all 3t + 1. */
  readonly parties: readonly number[];
  /** Whether a record is of the party that it names. */
  isGenuine(record: SignedStart): boolean;
}

/**
 * Judges a restart by what governance says of the network; that governance has approved it is asked elsewhere.
 *
 * @returns Everything that is wrong with it, for people; empty if nothing is.
 */
export function restartFaults({ network, context, starts, remembered }: QuorumRestart, view: RestartView): string[] {
  const needed = Math.floor((2 * (view.parties.length - 1)) / 3) + 1;
  const foreign = [...starts, ...remembered].filter((record) => !view.isGenuine(record));
  const strangers = [...new Set(foreign.map(({ start }) => start.party))];
  const own = new Map(starts.map((record) => [record.start.party, record.start]));
  const behind = remembered.filter(({ start }) => {
    const now = own.get(start.party);
    return now !== undefined && !goesOn(compareStarts(now, start));
  });
  return [
    ...(network === view.network ? [] : [`it is of network ${network}, not of ${view.network}`]),
    ...(equalBytes(context, view.context) ? [] : ['it is of another context']),
    ...(starts.length >= needed ? [] : [`it has the starts of ${starts.length} parties, and ${needed} are needed`]),
    ...(strangers.length === 0 ? [] : [`its records of party ${strangers.join(', ')} are not of those parties' nodes`]),
    ...behind.map(({ start }) => {
      const { party, manifest, incarnation } = start;
      const restore = 'restore a newer backup of it';
      return `party ${party} starts from a vault that is older than state ${manifest.sequence} of start ${incarnation}, which others remember: ${restore}`;
    }),
  ];
}
