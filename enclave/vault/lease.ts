/**
 * Who serves a party at present, as a note beside the manifest: `Manifest/lease`. Public, and signed by nobody.
 *
 * It only saves work, and names the holder to those who come too late. What keeps two servers apart is the manifest's head,
 * and whoever owns the storage can refuse service in any case. Format: docs/formats/manifest.md.
 */
import { type CborValue, decodeStrict, encodeCanonical } from '../../attestation/cbor.ts';
import { equalBytes } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import type { ObjectTag, Storage } from '../../storage/storage.ts';

/** What a lease is taken with. */
export interface LeaseParts {
  readonly storage: Pick<Storage, 'getTagged' | 'swap'>;
  readonly party: number;
  /** Name of this enclave in its documents. */
  readonly moduleId: string;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly sleep: (ms: number) => Promise<void>;
}

/** A lease that is held. */
export interface Lease {
  /** Prolongs it; false: another server has taken it. @throws KmsError what storage throws. */
  renew(): Promise<boolean>;
  /** Gives it back, so that whoever comes next need not wait; does nothing if another server has it. */
  release(): Promise<void>;
}

interface Note {
  readonly holder: string;
  /** Fresh for each start, so that no two notes are equal. */
  readonly token: Uint8Array;
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** How long a lease holds, and how often it is prolonged. */
export const LEASE_MS = 15_000;
/** See {@link LEASE_MS}. */
export const LEASE_RENEWAL_MS = 5_000;

const PATH = ['Manifest', 'lease'] as const;
const LABEL = 'arca-lease';
const TOKEN_BYTES = 16;
const HOLDER = /^[A-Za-z0-9._-]{1,128}$/;
const MAX_BYTES = 512;
/** A race is lost to somebody who then holds the lease, so few turns are enough. */
const MAX_TURNS = 16;

/**
 * Takes the lease: at once if nobody holds it, if its holder is of the same instance, or after the holder has not renewed it
 * for as long as it holds.
 *
 * @throws KmsError `ABORTED` naming who holds it since when.
 */
export async function takeLease(parts: LeaseParts): Promise<Lease> {
  const { storage, party, moduleId, clock, random, sleep } = parts;
  const note: Note = { holder: moduleId, token: random(TOKEN_BYTES), sinceMs: clock.nowMs(), untilMs: 0 };
  let waitedFor: Note | undefined;
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const there = await readNote(storage);
    const other = there.note && holdsAgainst(there.note, moduleId, clock) ? there.note : undefined;
    if (other === undefined) {
      const tag = await swap(storage, { ...note, untilMs: clock.nowMs() + LEASE_MS }, there.tag);
      if (tag !== undefined) return holdLease(parts, note, tag);
      continue;
    }
    // It was renewed, or taken by the next, while this one waited for its end.
    if (waitedFor !== undefined) throw heldBy(party, other);
    waitedFor = other;
    await sleep(Math.max(0, other.untilMs - clock.nowMs()) + 1);
  }
  throw new KmsError('ABORTED', `too many servers of party ${party} start at once: this one does not`);
}

/** Returns the failure of a server that came too late, as far as the note beside the manifest says who was first. */
export async function heldByOther(
  { storage, party, moduleId }: Pick<LeaseParts, 'storage' | 'party' | 'moduleId'>,
  cause?: unknown,
): Promise<KmsError> {
  const { note } = await readNote(storage).catch(() => ({ note: undefined }));
  // Its own, if the other took no lease.
  if (note && note.holder !== moduleId) return heldBy(party, note, cause);
  return new KmsError('ABORTED', `another server of party ${party} has taken over: this one stops`, {}, cause);
}

function holdLease({ storage, clock }: LeaseParts, note: Note, first: ObjectTag): Lease {
  let tag: ObjectTag | undefined = first;
  const write = async (untilMs: number): Promise<boolean> => {
    if (tag === undefined) return false;
    tag = await swap(storage, { ...note, untilMs }, tag);
    return tag !== undefined;
  };
  return {
    renew: async () => {
      if (await write(clock.nowMs() + LEASE_MS)) return true;
      // An answer may have been lost on the way: then the note is still this server's.
      const there = await readNote(storage);
      if (there.note === undefined || !equalBytes(there.note.token, note.token)) return false;
      tag = there.tag;
      return await write(clock.nowMs() + LEASE_MS);
    },
    release: async () => {
      await write(clock.nowMs());
    },
  };
}

/** A server of the same instance has ended: an instance runs one engine of a party. */
function holdsAgainst({ holder, untilMs }: Note, moduleId: string, clock: Clock): boolean {
  if (instanceOf(holder) === instanceOf(moduleId)) return false;
  const left = untilMs - clock.nowMs();
  // Nobody writes a longer one. Clocks that differ by more make it useless, not harmful: the head decides.
  return left > 0 && left <= 2 * LEASE_MS;
}

const instanceOf = (moduleId: string): string => moduleId.split('-enc')[0] ?? moduleId;

function heldBy(party: number, { holder, sinceMs }: Note, cause?: unknown): KmsError {
  const since = new Date(sinceMs).toISOString();
  const message = `party ${party} is served by ${holder} since ${since}: this engine does not serve; stop that one first`;
  return new KmsError('ABORTED', message, { holder, since }, cause);
}

async function swap(
  storage: LeaseParts['storage'],
  { holder, token, sinceMs, untilMs }: Note,
  expected: ObjectTag | undefined,
): Promise<ObjectTag | undefined> {
  const fields = new Map<string, CborValue>(Object.entries({ holder, since: sinceMs, token, until: untilMs }));
  try {
    return await storage.swap(PATH, encodeCanonical([LABEL, fields]), expected);
  } catch (error) {
    if (isKmsError(error, 'ABORTED')) return undefined;
    throw error;
  }
}

/** What cannot be read is nobody's lease: the next note takes its place. */
async function readNote(
  storage: LeaseParts['storage'],
): Promise<{ readonly note?: Note | undefined; readonly tag: ObjectTag | undefined }> {
  try {
    const { content, tag } = await storage.getTagged(PATH);
    return { note: parseNote(content), tag };
  } catch (error) {
    if (isKmsError(error, 'NOT_FOUND')) return { tag: undefined };
    throw error;
  }
}

function parseNote(content: Uint8Array): Note | undefined {
  let value: CborValue;
  try {
    value = decodeStrict(content, { maxBytes: MAX_BYTES, maxDepth: 2, canonical: true });
  } catch (error) {
    if (isKmsError(error, 'REQUEST_INVALID')) return undefined;
    throw error;
  }
  const fields: unknown = Array.isArray(value) && value.length === 2 && value[0] === LABEL ? value[1] : undefined;
  if (!(fields instanceof Map)) return undefined;
  const [holder, token, sinceMs, untilMs] = ['holder', 'token', 'since', 'until'].map((name): unknown =>
    fields.get(name),
  );
  if (typeof holder !== 'string' || !HOLDER.test(holder)) return undefined;
  if (!(token instanceof Uint8Array) || !isTime(sinceMs) || !isTime(untilMs)) return undefined;
  return { holder, token, sinceMs, untilMs };
}

const isTime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value < 8.64e15;
