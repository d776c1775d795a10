/**
 * How an engine keeps its governance book in the vault: canonical CBOR `[label, state, SHA-384(state)]`.
 *
 * All of it is public, but it must not go back: the vault's manifest sees to that, and what a book has seen stands in
 * it. On reading, everything that governance signed is verified again under the charter.
 */
import { equalBytes, toHex } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { encodeCanonical } from '../cbor.ts';
import { cborFields, decodeCanonical, readBody, sha384 } from './canonical.ts';
import { type Charter, charterDigest } from './charter.ts';
import type { Field } from './fields.ts';
import type { HighestSeen } from './highest.ts';
import { DIGEST_BYTES, VERSION } from './names.ts';
import { decodeSignedProposal, type Proposal, proposalFor, verifyApprovals } from './proposal.ts';
import { type GovernedRecord, verifyRecord } from './record.ts';
import { decodeSignedReleaseSet, type ReleaseSet } from './release-set.ts';
import { bodyDigest, encodeSigned, type Signed } from './signed.ts';

/** A release set that waits for its delay. */
export interface PendingReleases {
  readonly set: Signed<ReleaseSet>;
  readonly firstSeenMs: number;
  readonly effectiveFromMs: number;
}

/** Everything that a book remembers. */
export interface BookState {
  record: Signed<GovernedRecord> | undefined;
  releases: Signed<ReleaseSet> | undefined;
  pending: PendingReleases | undefined;
  highestRecord: HighestSeen | undefined;
  highestReleases: HighestSeen | undefined;
  /** In order of first sight. */
  proposals: readonly Signed<Proposal>[];
}

/** What a book remembers before the first offer. */
export const EMPTY_BOOK: BookState = {
  record: undefined,
  releases: undefined,
  pending: undefined,
  highestRecord: undefined,
  highestReleases: undefined,
  proposals: [],
};

const LABEL = 'arca-governance-book-1';
const WHAT = 'the governance book';

/** Most proposals that are kept. */
export const MAX_PROPOSALS = 256;

/** Returns the vault's form of a book. */
export function encodeBook(charter: Charter, state: BookState): Uint8Array {
  const { record, releases, pending, highestRecord, highestReleases } = state;
  const content = encodeCanonical(
    cborFields({
      charter: charterDigest(charter),
      record: record && encodeSigned(record),
      releases: releases && encodeSigned(releases),
      pending: pending && cborFields({ ...pending, set: encodeSigned(pending.set) }),
      highestRecord: highestRecord && cborFields({ ...highestRecord }),
      highestReleases: highestReleases && cborFields({ ...highestReleases }),
      proposals: state.proposals.map(encodeSigned),
    }),
  );
  return encodeCanonical([LABEL, content, sha384(content)]);
}

/**
 * Reads the vault's form of a book.
 *
 * @throws {@link KmsError} `STATE_INVALID` if it is damaged, of another charter, or holds what governance has not
 *   signed; the message says which part.
 */
export function decodeBook(bytes: Uint8Array, charter: Charter): BookState {
  try {
    return readBook(bytes, charter);
  } catch (error) {
    if (isKmsError(error, 'STATE_INVALID')) throw error;
    throw damaged(error instanceof Error ? error.message : 'unreadable', error);
  }
}

function readBook(bytes: Uint8Array, charter: Charter): BookState {
  const outer = decodeCanonical(bytes, WHAT, MAX_BOOK_BYTES);
  const [label, content, digest] = Array.isArray(outer) && outer.length === 3 ? outer : [];
  if (label !== LABEL) throw damaged(`does not begin with the label ${LABEL}`);
  if (!(content instanceof Uint8Array) || !(digest instanceof Uint8Array) || !equalBytes(sha384(content), digest)) {
    throw damaged('its digest does not fit its content');
  }
  const raw = readBody(decodeCanonical(content, WHAT, MAX_BOOK_BYTES), 'cbor', WHAT, readParts);
  if (!equalBytes(raw.charter, charterDigest(charter))) {
    throw damaged(`belongs to another charter, ${toHex(raw.charter)}`);
  }
  const record = raw.record && inPart('record', () => verifyRecord(raw.record ?? new Uint8Array(), charter));
  const releases = raw.releases && readApproved('releases', raw.releases, charter);
  const pending = raw.pending && { ...raw.pending, set: readApproved('pending releases', raw.pending.set, charter) };
  const proposals = raw.proposals.map((proposal) => inPart('proposals', () => decodeSignedProposal(proposal)));
  const state: BookState = {
    record,
    releases,
    pending,
    highestRecord: raw.highestRecord,
    highestReleases: raw.highestReleases,
    proposals,
  };
  checkHighest('record', state.highestRecord, record, true);
  checkHighest('releases', state.highestReleases, releases, false);
  checkHighest('pending releases', state.highestReleases, pending?.set, true);
  return state;
}

/** Most bytes of a whole book: two release sets, a record and the proposals. */
const MAX_BOOK_BYTES = 8 * 1024 * 1024;

function readParts(body: Field) {
  return body.object((fields) => ({
    charter: fields.get('charter').bytes(DIGEST_BYTES),
    record: fields.optional('record', (field) => field.blob()),
    releases: fields.optional('releases', (field) => field.blob()),
    pending: fields.optional('pending', (field) =>
      field.object((pending) => ({
        set: pending.get('set').blob(),
        firstSeenMs: pending.get('firstSeenMs').time(),
        effectiveFromMs: pending.get('effectiveFromMs').time(),
      })),
    ),
    highestRecord: fields.optional('highestRecord', readHighest),
    highestReleases: fields.optional('highestReleases', readHighest),
    proposals: fields.get('proposals').list({ min: 0, max: MAX_PROPOSALS }, (item) => item.blob()),
  }));
}

function readHighest(field: Field): HighestSeen {
  return field.object((fields) => ({
    version: fields.get('version').int(VERSION),
    digest: fields.get('digest').bytes(DIGEST_BYTES),
  }));
}

/** Release keys may have changed since a set was accepted; governance's approval still verifies. */
function readApproved(part: string, bytes: Uint8Array, charter: Charter): Signed<ReleaseSet> {
  return inPart(part, () => {
    const set = decodeSignedReleaseSet(bytes);
    if (set.body.network !== charter.network) throw damaged(`${part}: of another network`);
    verifyApprovals(proposalFor('release-set', set), set.approvals, charter);
    return set;
  });
}

function checkHighest(
  part: string,
  highest: HighestSeen | undefined,
  held: Signed<{ readonly version: number }> | undefined,
  mustBeHighest: boolean,
): void {
  if (held === undefined) {
    if (part === 'record' && highest !== undefined) throw damaged('has seen a record and does not hold it');
    if (part === 'releases' && highest !== undefined) throw damaged('has seen a release set and holds none');
    return;
  }
  const isHighest = highest?.version === held.body.version;
  if (highest === undefined || held.body.version > highest.version || (mustBeHighest && !isHighest)) {
    throw damaged(`${part}: version ${held.body.version} does not fit the highest seen, ${highest?.version ?? 0}`);
  }
  if (isHighest && !equalBytes(bodyDigest(held), highest.digest)) {
    throw damaged(`${part}: version ${held.body.version} has another digest than was seen`);
  }
}

function inPart<T>(part: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (isKmsError(error, 'STATE_INVALID')) throw error;
    throw damaged(`${part}: ${error instanceof Error ? error.message : 'unreadable'}`, error);
  }
}

function damaged(why: string, cause?: unknown): KmsError {
  return new KmsError('STATE_INVALID', `${WHAT} in the vault cannot be used: ${why}`, {}, cause);
}
