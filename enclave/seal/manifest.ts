/**
 * The manifest of a vault: which objects there are, each with its highest version and its digest; signed and chained. Public.
 *
 * It is what tells an old vault from the present one. Format: docs/formats/manifest.md.
 */
import { createHash } from 'node:crypto';
import { type CborValue, decodeStrict, encodeCanonical } from '../../attestation/cbor.ts';
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import { DATA_KEY_PURPOSES, type DataKeyBinding } from '../keychain/data-keys.ts';
import { CHARTER_DIGEST_BYTES, isObjectName } from './object-claims.ts';
import { type ObjectSigner, SIGNATURE_BYTES, verifyObjectSignature } from './object-signatures.ts';

/** What is known of one object. */
export interface ManifestEntry {
  /** Its highest version ever; stays when it is removed, so that no old one comes back. */
  readonly version: number;
  /** The one writing that counts; undefined: it was removed. */
  readonly writing: ObjectWriting | undefined;
}

/** One writing of an object: never overwritten, so that a server that has lost harms nothing. */
export interface ObjectWriting {
  /** Last segment of its path in storage, behind the object's name. */
  readonly place: string;
  /** Digest of its tail. */
  readonly digest: Uint8Array;
  /** Bytes that are stored. */
  readonly sizeBytes: number;
}

/** Whose manifest this is. */
export interface ManifestOwner {
  readonly purpose: DataKeyBinding['purpose'];
  readonly charterDigest: Uint8Array;
  readonly party: number;
}

/** One state of a vault. */
export interface Manifest extends ManifestOwner {
  /** From 1; each write is one more. */
  readonly sequence: number;
  /** Digest of the state before; undefined for the first. */
  readonly previous: Uint8Array | undefined;
  /** Start of the engine that wrote it. */
  readonly incarnation: number;
  /**
   * A state of the private vault: in a backup the newest that it has all of; in a private vault the one that it was restored
   * from, until that is confirmed.
   */
  readonly source: ManifestPoint | undefined;
  readonly entries: ReadonlyMap<string, ManifestEntry>;
  /** What this party remembers of the others: not looked into here. Empty: nothing. */
  readonly memory: Uint8Array;
}

/** A state that peers or an operator remember. */
export interface ManifestPoint {
  readonly sequence: number;
  readonly digest: Uint8Array;
}

/** What a reader asks for. */
export interface ExpectedManifest extends ManifestOwner {
  /** Ed25519 key of purpose `manifest` of the node. */
  readonly signer: Uint8Array;
  /** The newest state that is known of: an older one was rolled back, another one of its number is a fork. */
  readonly remembered?: ManifestPoint | undefined;
}

/** Why a manifest is refused. Names never change. */
const MANIFEST_FAULTS = {
  malformed: 'it is not as the format says',
  forged: "it does not bear the node's signature",
  'other-charter': 'it was written under another charter',
  'other-party': 'it was written by another party',
  'other-purpose': 'it is of another vault',
  'rolled-back': 'it is older than a state that is remembered',
  forked: 'it is another state than the one that is remembered under its number',
} as const;
type ManifestFault = keyof typeof MANIFEST_FAULTS;

const LABEL = 'arca-manifest-1';
const PLACE = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;
const CHAIN_BYTES = 48;
const FIELDS = 9;
/** Most bytes of a manifest: some 15,000 objects. */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 * 1024;
/** Most bytes of what is remembered. */
const MAX_MEMORY_BYTES = 256 * 1024;

/** Returns the signer of a node's manifests. */
export function manifestSigner(key: NodeKey): ObjectSigner {
  return { publicKey: key.purposePublicKey('manifest'), sign: (digest) => key.signPurpose('manifest', digest) };
}

/** Returns the fields of a manifest under the names that the format gives them. */
export function manifestFields(manifest: Manifest): ReadonlyMap<string, CborValue> {
  const entries = [...manifest.entries].map(([name, { version, writing }]) => {
    const fields: CborValue = writing === undefined ? null : [writing.place, writing.digest, writing.sizeBytes];
    return [name, [version, fields]] as const;
  });
  return new Map<string, CborValue>([
    ['charter', manifest.charterDigest],
    ['entries', new Map<string, CborValue>(entries)],
    ['incarnation', manifest.incarnation],
    ['memory', manifest.memory],
    ['party', manifest.party],
    ['previous', manifest.previous ?? null],
    ['purpose', manifest.purpose],
    ['sequence', manifest.sequence],
    ['source', manifest.source === undefined ? null : [manifest.source.sequence, manifest.source.digest]],
  ]);
}

/** Returns what the node signs and what the next state is chained to. */
export function manifestDigest(manifest: Manifest): Uint8Array {
  return digestOf(encodeCanonical([LABEL, manifestFields(manifest)]));
}

/**
 * Returns the bytes to store: the signature, and behind it what it is over.
 *
 * @throws KmsError `RESOURCE_EXHAUSTED` for more entries, or more memory of others, than a manifest holds.
 */
export function writeManifest(manifest: Manifest, signer: ObjectSigner): Uint8Array {
  const encoded = encodeCanonical([LABEL, manifestFields(manifest)]);
  if (SIGNATURE_BYTES + encoded.length > MAX_MANIFEST_BYTES || manifest.memory.length > MAX_MEMORY_BYTES) {
    throw new KmsError('RESOURCE_EXHAUSTED', 'the manifest holds no more objects', { sizeBytes: encoded.length });
  }
  return Buffer.concat([signer.sign(digestOf(encoded)), encoded]);
}

/**
 * Reads a manifest if it is the one asked for, and not older than what is remembered.
 *
 * @throws KmsError `STATE_INVALID` with facts `fault` and `faults`.
 */
export function readManifest(bytes: Uint8Array, asked: ExpectedManifest): Manifest {
  const encoded = bytes.subarray(SIGNATURE_BYTES);
  const manifest = decode(encoded);
  if (manifest === undefined) throw manifestFault(['malformed']);
  const { remembered } = asked;
  const digest = digestOf(encoded);
  const pairs: readonly (readonly [ManifestFault, boolean])[] = [
    ['other-charter', equalBytes(manifest.charterDigest, asked.charterDigest)],
    ['other-party', manifest.party === asked.party],
    ['other-purpose', manifest.purpose === asked.purpose],
    ['forged', verifyObjectSignature(asked.signer, digest, bytes.subarray(0, SIGNATURE_BYTES))],
    ['rolled-back', remembered === undefined || manifest.sequence >= remembered.sequence],
    ['forked', remembered?.sequence !== manifest.sequence || equalBytes(digest, remembered.digest)],
  ];
  const faults = pairs.filter(([, good]) => !good).map(([fault]) => fault);
  if (faults.length > 0) throw manifestFault(faults);
  return manifest;
}

/** Returns what a manifest says, nothing of it checked, to find the key that it is to be checked with. */
export function peekManifest(bytes: Uint8Array): Manifest | undefined {
  return decode(bytes.subarray(SIGNATURE_BYTES));
}

function manifestFault(faults: readonly ManifestFault[]): KmsError {
  const why = faults.map((fault) => MANIFEST_FAULTS[fault]).join('; ');
  const facts = { fault: faults[0] ?? '', faults: faults.join(',') };
  return new KmsError('STATE_INVALID', `the vault's manifest is refused: ${why}`, facts);
}

function digestOf(encoded: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha384').update(encoded).digest());
}

function decode(encoded: Uint8Array): Manifest | undefined {
  try {
    return parse(decodeStrict(encoded, { maxBytes: MAX_MANIFEST_BYTES, maxDepth: 5, canonical: true }));
  } catch (error) {
    if (isKmsError(error, 'REQUEST_INVALID')) return undefined;
    throw error;
  }
}

function parse(value: CborValue): Manifest | undefined {
  const fields: unknown = Array.isArray(value) && value.length === 2 && value[0] === LABEL ? value[1] : undefined;
  if (!(fields instanceof Map) || fields.size !== FIELDS) return undefined;
  const purpose = DATA_KEY_PURPOSES.find((known) => known === fields.get('purpose'));
  const charterDigest: unknown = fields.get('charter');
  const previous: unknown = fields.get('previous') ?? undefined;
  const [party, sequence, incarnation] = ['party', 'sequence', 'incarnation'].map((name): unknown => fields.get(name));
  const entries = parseEntries(fields.get('entries'));
  const remembered: unknown = fields.get('memory');
  const isWhole =
    purpose !== undefined && isBytes(charterDigest, CHARTER_DIGEST_BYTES) && isNumber(party) && entries !== undefined;
  if (!isWhole || !isNumber(sequence) || !isNumber(incarnation)) return undefined;
  if (!(remembered instanceof Uint8Array) || remembered.length > MAX_MEMORY_BYTES) return undefined;
  // The first state, and it alone, follows none.
  if (previous !== undefined && !isBytes(previous, CHAIN_BYTES)) return undefined;
  if ((sequence === 1) !== (previous === undefined)) return undefined;
  const chain = previous === undefined ? undefined : Uint8Array.from(previous);
  const from: unknown = fields.get('source') ?? undefined;
  const source = from === undefined ? undefined : parsePoint(from);
  if (from !== undefined && source === undefined) return undefined;
  const owner = { purpose, charterDigest: charterDigest.slice(), party };
  const memory = Uint8Array.from(remembered);
  return { ...owner, sequence, previous: chain, incarnation, source, entries, memory };
}

function parsePoint(value: unknown): ManifestPoint | undefined {
  const [sequence, digest]: readonly unknown[] = Array.isArray(value) && value.length === 2 ? value : [];
  return isNumber(sequence) && isBytes(digest, CHAIN_BYTES) ? { sequence, digest: digest.slice() } : undefined;
}

function parseEntries(value: unknown): ReadonlyMap<string, ManifestEntry> | undefined {
  if (!(value instanceof Map)) return undefined;
  const entries = new Map<string, ManifestEntry>();
  for (const [name, entry] of value) {
    const [version, fields]: readonly unknown[] = Array.isArray(entry) && entry.length === 2 ? entry : [];
    if (!isObjectName(name) || !isNumber(version) || fields === undefined) return undefined;
    const writing = fields === null ? undefined : parseWriting(fields);
    if (fields !== null && writing === undefined) return undefined;
    entries.set(name, { version, writing });
  }
  return entries;
}

function parseWriting(fields: unknown): ObjectWriting | undefined {
  const [place, digest, sizeBytes]: readonly unknown[] = Array.isArray(fields) && fields.length === 3 ? fields : [];
  if (typeof place !== 'string' || !PLACE.test(place)) return undefined;
  if (!isBytes(digest, CHAIN_BYTES) || !isNumber(sizeBytes)) return undefined;
  return { place, digest: digest.slice(), sizeBytes };
}

const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;

const isBytes = (value: unknown, size: number): value is Uint8Array =>
  value instanceof Uint8Array && value.length === size;
