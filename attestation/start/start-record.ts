/**
 * The record of a start: an engine says which state of its vault it goes on from, and its peers remember it. Public.
 *
 * Signed with the party's key of purpose `record`, which its node key certifies, so that whoever kept a record can show it
 * to anybody later. Format: docs/formats/start-record.md.
 */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { type CborValue, decodeStrict, encodeCanonical } from '../cbor.ts';
import {
  identityFromCbor,
  identityToCbor,
  isParty,
  recoverIdentityAddress,
  verifyMeshSignature,
} from '../mesh/identity.ts';
import type { IdentityCertificate } from '../mesh/mesh-context.ts';

/** A state of a vault: number and digest of its manifest. */
export interface VaultPoint {
  readonly sequence: number;
  /** 48 bytes. */
  readonly digest: Uint8Array;
}

/** What an engine says of its start. */
export interface StartRecord {
  /** SHA-384 of the party's charter: network and party. */
  readonly charterDigest: Uint8Array;
  readonly party: number;
  readonly incarnation: number;
  /** 32 bytes, fresh for each start: tells two starts of the same number apart. */
  readonly nonce: Uint8Array;
  /** The state at the start, or a later one of the same start. */
  readonly manifest: VaultPoint;
  /** Versions of release set and governed record that it knows. */
  readonly releases: number;
  readonly record: number;
  /** 32 bytes. */
  readonly context: Uint8Array;
  /** 32 bytes: the newest epoch that it holds. */
  readonly epoch: Uint8Array | undefined;
  /** SHA-256 of the mesh certificate that its process shows. */
  readonly leaf: Uint8Array;
  /** State that the vault was restored from, until that is confirmed: so long it is no memory of anybody. */
  readonly source: VaultPoint | undefined;
  /**
   * The last state that a confirmed start has written, for as long as this one is not confirmed; undefined once it is: then
   * that state is `manifest`. Starts alone never move it.
   */
  readonly base: VaultPoint | undefined;
}

/** A record that was read: its signatures hold. Whose address this is, the governed record says. */
export interface SignedStart {
  readonly start: StartRecord;
  /** SHA-384 of what is signed. */
  readonly digest: Uint8Array;
  /** As it travels and is kept. */
  readonly bytes: Uint8Array;
  /** Of the node key that certified the signer: 20 bytes. */
  readonly address: Uint8Array;
}

/** Signs with a party's key of purpose `record`. */
export interface StartSigner {
  readonly certificate: IdentityCertificate<'record'>;
  /** Returns 64 bytes. */
  sign(digest: Uint8Array): Uint8Array;
}

const LABEL = 'arca-start-1';
const FIELDS = 12;
/** As memories may hold them that were written before there was `base`. */
const FIELDS_BEFORE = 11;
const DIGEST_BYTES = 48;
const HASH_BYTES = 32;
/** Most bytes of a signed record. */
export const MAX_START_BYTES = 2048;

/** Returns the fields of a record under the names that the format gives them. */
export function startFields(start: StartRecord): ReadonlyMap<string, CborValue> {
  return new Map<string, CborValue>([
    ['base', start.base === undefined ? null : [start.base.sequence, start.base.digest]],
    ['charter', start.charterDigest],
    ['context', start.context],
    ['epoch', start.epoch ?? null],
    ['incarnation', start.incarnation],
    ['leaf', start.leaf],
    ['manifest', [start.manifest.sequence, start.manifest.digest]],
    ['nonce', start.nonce],
    ['party', start.party],
    ['record', start.record],
    ['releases', start.releases],
    ['source', start.source === undefined ? null : [start.source.sequence, start.source.digest]],
  ]);
}

/** Returns what is signed: SHA-384 of the record's canonical bytes. */
export function startDigest(start: StartRecord): Uint8Array {
  return digestOf(encodeCanonical([LABEL, startFields(start)]));
}

/** Signs a record. */
export function signStart(start: StartRecord, signer: StartSigner): SignedStart {
  const body = encodeCanonical([LABEL, startFields(start)]);
  const digest = digestOf(body);
  const bytes = encodeCanonical([body, identityToCbor(signer.certificate), signer.sign(digest)]);
  return { start, digest, bytes, address: recoverIdentityAddress(signer.certificate) };
}

/**
 * Reads a signed record: whole, and signed by a key that some node key certified for this party.
 *
 * About a millisecond for a certificate that was not seen lately. What it returns is a copy.
 *
 * @throws KmsError `REQUEST_INVALID` if it is malformed; `PERMISSION_DENIED` if a signature does not hold.
 */
export function readStart(bytes: Uint8Array): SignedStart {
  const whole = decodeStrict(bytes, { maxBytes: MAX_START_BYTES, maxDepth: 2, canonical: true });
  const [body, identity, signature] = Array.isArray(whole) && whole.length === 3 ? whole : [];
  if (!(body instanceof Uint8Array) || !(signature instanceof Uint8Array)) throw malformed();
  const certificate = identityFromCbor(identity, 'record');
  const start = parseStart(decodeStrict(body, { maxBytes: MAX_START_BYTES, maxDepth: 3, canonical: true }));
  const digest = digestOf(body);
  if (certificate.party !== start.party || !verifyMeshSignature(certificate.key, digest, signature)) throw forged();
  return { start, digest, bytes: Uint8Array.from(bytes), address: addressOf(certificate) };
}

function addressOf(certificate: IdentityCertificate<'record'>): Uint8Array {
  try {
    return recoverIdentityAddress(certificate);
  } catch (error) {
    if (isKmsError(error)) throw forged();
    throw error;
  }
}

function parseStart(value: CborValue): StartRecord {
  const fields = Array.isArray(value) && value.length === 2 && value[0] === LABEL ? value[1] : undefined;
  if (!(fields instanceof Map) || fields.size !== (fields.has('base') ? FIELDS : FIELDS_BEFORE)) throw malformed();
  const number = (name: string, least: number): number => {
    const field: unknown = fields.get(name);
    if (typeof field !== 'number' || !Number.isSafeInteger(field) || field < least) throw malformed();
    return field;
  };
  const source: unknown = fields.get('source');
  const base: unknown = fields.get('base') ?? null;
  const epoch: unknown = fields.get('epoch');
  const party: unknown = fields.get('party');
  if (!isParty(party)) throw malformed();
  return {
    charterDigest: bytesOf(fields.get('charter'), DIGEST_BYTES),
    party,
    incarnation: number('incarnation', 1),
    nonce: bytesOf(fields.get('nonce'), HASH_BYTES),
    manifest: pointOf(fields.get('manifest')),
    releases: number('releases', 0),
    record: number('record', 0),
    context: bytesOf(fields.get('context'), HASH_BYTES),
    epoch: epoch === null ? undefined : bytesOf(epoch, HASH_BYTES),
    leaf: bytesOf(fields.get('leaf'), HASH_BYTES),
    source: source === null ? undefined : pointOf(source),
    base: base === null ? undefined : pointOf(base),
  };
}

function pointOf(value: unknown): VaultPoint {
  const [sequence, digest]: readonly unknown[] = Array.isArray(value) && value.length === 2 ? value : [];
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence) || sequence < 1) throw malformed();
  return { sequence, digest: bytesOf(digest, DIGEST_BYTES) };
}

function bytesOf(value: unknown, size: number): Uint8Array {
  if (value instanceof Uint8Array && value.length === size) return Uint8Array.from(value);
  throw malformed();
}

function digestOf(body: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha384').update(body).digest());
}

const malformed = (): KmsError =>
  new KmsError('REQUEST_INVALID', 'a start record needs its fields, each in its bounds');

const forged = (): KmsError => new KmsError('PERMISSION_DENIED', 'a start record does not bear its party’s signature');

/** What one record of a party is to another, older or not, that was seen of it before. */
export type StartVerdict =
  /** A later start, of a later state. */
  | 'newer'
  /** The same start, of a later state. */
  | 'moved'
  /** The same start, of the same state or one before it. */
  | 'same'
  /** Not a later start. */
  | 'incarnation-lower'
  /** Another start of the same number. */
  | 'incarnation-taken'
  /** A later start of an older state. */
  | 'manifest-older'
  /** Another state of the same number. */
  | 'manifest-forked';

/**
 * Compares what a party says now with what was seen of it. Every start moves the head, so a later one has a later state.
 *
 * So do starts of a vault that was put back, as many as somebody likes: what confirmed starts have written decides, which those
 * never become.
 *
 * A restore moves it as well, however old the backup is: what counts of a restored vault is the state that it was restored
 * from. Until it is confirmed nothing is written to it that would be missed.
 */
export function compareStarts(now: StartRecord, seen: StartRecord): StartVerdict {
  if (now.incarnation < seen.incarnation) return 'incarnation-lower';
  const moved = now.manifest.sequence - seen.manifest.sequence;
  const isForked = moved === 0 && !equalBytes(now.manifest.digest, seen.manifest.digest);
  if (now.incarnation === seen.incarnation) {
    if (!equalBytes(now.nonce, seen.nonce)) return 'incarnation-taken';
    if (isForked) return 'manifest-forked';
    return moved > 0 ? 'moved' : 'same';
  }
  if (now.source !== undefined) {
    const { sequence, digest } = seen.source ?? seen.manifest;
    if (now.source.sequence !== sequence) return now.source.sequence > sequence ? 'newer' : 'manifest-older';
    return equalBytes(now.source.digest, digest) ? 'newer' : 'manifest-forked';
  }
  if (moved <= 0) return isForked ? 'manifest-forked' : 'manifest-older';
  const [written, known] = [now.base ?? now.manifest, seen.base ?? seen.manifest];
  if (written.sequence !== known.sequence) return written.sequence > known.sequence ? 'newer' : 'manifest-older';
  return equalBytes(written.digest, known.digest) ? 'newer' : 'manifest-forked';
}
