/**
 * Release sets: which measurements are trusted, for which role, from when until when. Versioned, signed by at least
 * 2t + 1 release keys of the governed record and approved by governance.
 *
 * A release entitles a process to connect. It never entitles it to shares that exist: those go only to an engine
 * whose key policy names its measurement, or through an epoch that governance approved (docs/formats/governance.md).
 */
import type { KeyObject } from 'node:crypto';
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { type CborValue, encodeCanonical } from '../cbor.ts';
import { ROLES, type Role } from '../role.ts';
import { cborFields, decodeLabelled, encodeLabelled, GOVERNANCE_LABEL } from './canonical.ts';
import { rawPublicKey, signWith } from './ed25519.ts';
import type { Faults, Field } from './fields.ts';
import { DIGEST_BYTES, readNetwork, supermajority, VERSION } from './names.ts';
import type { GovernedRecord } from './record.ts';
import { checkEntries } from './release-rules.ts';
import {
  bodyDigest,
  decodeSigned,
  describeUncounted,
  judgeSignatures,
  onlyOf,
  type SignatureJudgement,
  type Signed,
  signedFromJson,
  withSignature,
} from './signed.ts';

/** What attests: a Nitro enclave, an instance's NitroTPM, or the software NSM of developer mode (shape by role). */
export const RELEASE_PLATFORMS = ['enclave', 'nitro-tpm', 'developer'] as const;

/** A word out of {@link RELEASE_PLATFORMS}. */
export type ReleasePlatform = (typeof RELEASE_PLATFORMS)[number];

/** One measurement that is trusted for a time. */
export interface ReleaseEntry {
  /** Name for people; entries of several roles and platforms share it. */
  readonly release: string;
  readonly platform: ReleasePlatform;
  readonly role: Role;
  /** SHA-384 values by register, ascending; the whole tuple must match. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly notBeforeMs: number;
  /** First instant at which it is trusted no more. */
  readonly notAfterMs: number;
  /** Release of the same set to which operators should move. */
  readonly supersededBy?: string | undefined;
}

/** All measurements that are trusted; an empty list trusts nobody. */
export interface ReleaseSet {
  readonly version: number;
  readonly network: string;
  /** Ascending by their encoding. */
  readonly entries: readonly ReleaseEntry[];
}

/** What of a governed record says whose release sets count. */
export type ReleaseAuthority = Pick<GovernedRecord, 'network' | 'releaseKeys'>;

const WHAT = 'the release set';
const MAX_ENTRIES = 512;

/** Shape of a release's name. */
export const RELEASE_NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/;

/**
 * Makes the unsigned form of a release set, sorting its entries.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function makeReleaseSet(set: ReleaseSet): Signed<ReleaseSet> {
  const entries = [...set.entries].sort(compareEntries);
  const bytes = encodeReleaseSet({ ...set, entries });
  return { body: decodeReleaseSet(bytes), bytes, signatures: [], approvals: [] };
}

/**
 * Returns the set with the signature of one more release key.
 *
 * @param keys - Release keys that may sign; undefined signs without asking.
 * @throws {@link KmsError} `KEY_INVALID` if the key is no Ed25519 key or not one of `keys`.
 */
export function signReleaseSet(
  set: Signed<ReleaseSet>,
  privateKey: KeyObject,
  keys?: readonly Uint8Array[],
): Signed<ReleaseSet> {
  const own = toHex(rawPublicKey(privateKey));
  if (keys !== undefined && !keys.some((key) => toHex(key) === own)) {
    throw new KmsError('KEY_INVALID', `the key ${own} is none of the release keys of the governed record`, {
      key: own,
    });
  }
  return { ...set, signatures: withSignature(set.signatures, signWith(privateKey, bodyDigest(set))) };
}

/** Returns the canonical bytes of a release set's body. */
export function encodeReleaseSet(set: ReleaseSet): Uint8Array {
  return encodeLabelled(GOVERNANCE_LABEL.releaseSet, {
    version: set.version,
    network: set.network,
    entries: set.entries.map(entryFields),
  });
}

/**
 * Reads the canonical bytes of a release set's body.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function decodeReleaseSet(bytes: Uint8Array): ReleaseSet {
  return decodeLabelled(bytes, GOVERNANCE_LABEL.releaseSet, WHAT, readReleaseSet);
}

/**
 * Reads a stored release set with its signatures, which are not verified here.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function decodeSignedReleaseSet(bytes: Uint8Array): Signed<ReleaseSet> {
  return decodeSigned(bytes, WHAT, decodeReleaseSet);
}

/** Which release keys have signed a set, and how many must. */
export interface ReleaseSignatureStatus extends SignatureJudgement {
  readonly needed: number;
  readonly complete: boolean;
}

/** Returns who has signed a set under a record. */
export function releaseSignatureStatus(set: Signed<ReleaseSet>, record: ReleaseAuthority): ReleaseSignatureStatus {
  const judgement = judgeSignatures(set.signatures, record.releaseKeys, bodyDigest(set));
  const needed = supermajority(record.releaseKeys.length);
  return { ...judgement, needed, complete: judgement.valid.length >= needed };
}

/** Returns the set with those signatures alone that count under the record. */
export function withCountedSignatures(set: Signed<ReleaseSet>, record: GovernedRecord): Signed<ReleaseSet> {
  return { ...set, signatures: onlyOf(set.signatures, releaseSignatureStatus(set, record).valid) };
}

/**
 * Reads a stored release set and verifies its release keys' signatures. Governance's approval is another matter:
 * `GovernanceBook.offerReleases`.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if it is malformed, `PERMISSION_DENIED` if it is of another network or
 *   fewer than 2t + 1 release keys have signed it.
 */
export function verifyReleaseSet(bytes: Uint8Array, record: ReleaseAuthority): Signed<ReleaseSet> {
  const set = decodeSignedReleaseSet(bytes);
  if (set.body.network !== record.network) {
    throw new KmsError('PERMISSION_DENIED', `the release set is of another network than ${record.network}`);
  }
  const status = releaseSignatureStatus(set, record);
  if (status.complete) return set;
  const have = status.valid.length;
  throw new KmsError(
    'PERMISSION_DENIED',
    `release set ${set.body.version} needs the signatures of ${status.needed} of ${record.releaseKeys.length} release keys, ` +
      `has ${have}${describeUncounted(status)}`,
    { version: set.body.version, signatures: have, needed: status.needed },
  );
}

/** Reads the fields of a release set in either form; faults are noted. */
export function readReleaseSet(body: Field, faults: Faults): ReleaseSet {
  const set = body.object(
    (fields): ReleaseSet => ({
      version: fields.get('version').int(VERSION),
      network: readNetwork(fields.get('network')),
      entries: fields.get('entries').sortedList({ min: 0, max: MAX_ENTRIES }, readEntry, compareEntries),
    }),
  );
  checkEntries(set, faults);
  return set;
}

/** Order of entries: that of their encodings, so that one set has one digest. */
function compareEntries(a: ReleaseEntry, b: ReleaseEntry): number {
  return Buffer.compare(encodeCanonical(entryFields(a)), encodeCanonical(entryFields(b)));
}

function entryFields(entry: ReleaseEntry): CborValue {
  return cborFields({
    release: entry.release,
    platform: entry.platform,
    role: entry.role,
    pcrs: new Map(entry.pcrs),
    notBefore: entry.notBeforeMs,
    notAfter: entry.notAfterMs,
    supersededBy: entry.supersededBy,
  });
}

function readEntry(item: Field): ReleaseEntry {
  return item.object((fields): ReleaseEntry => {
    const supersededBy = fields.optional('supersededBy', readReleaseName);
    return {
      release: readReleaseName(fields.get('release')),
      platform: fields.get('platform').word(RELEASE_PLATFORMS),
      role: fields.get('role').word(ROLES),
      pcrs: fields.get('pcrs').intMap({ min: 0, max: 31 }, (pcr) => pcr.bytes(DIGEST_BYTES)),
      notBeforeMs: fields.get('notBefore').time(),
      notAfterMs: fields.get('notAfter').time(),
      ...(supersededBy === undefined ? {} : { supersededBy }),
    };
  });
}

function readReleaseName(field: Field): string {
  return field.text(RELEASE_NAME, "a release's name: letters, digits, '.', '_', '+', '-', at most 64");
}

/** Returns the JSON form of a release set's body for people. */
export function releaseSetToJson(set: ReleaseSet): Readonly<Record<string, unknown>> {
  return { version: set.version, network: set.network, entries: set.entries.map(entryToJson) };
}

/** Returns registers as JSON has them: index to hexadecimal digits. */
export function pcrsToJson(pcrs: ReleaseEntry['pcrs']): Readonly<Record<string, string>> {
  return Object.fromEntries([...pcrs].map(([index, value]) => [index, toHex(value)]));
}

/** Returns the JSON form of one entry. */
export function entryToJson(entry: ReleaseEntry): Readonly<Record<string, unknown>> {
  return {
    release: entry.release,
    platform: entry.platform,
    role: entry.role,
    pcrs: pcrsToJson(entry.pcrs),
    notBefore: new Date(entry.notBeforeMs).toISOString(),
    notAfter: new Date(entry.notAfterMs).toISOString(),
    ...(entry.supersededBy === undefined ? {} : { supersededBy: entry.supersededBy }),
  };
}

/**
 * Reads the JSON form of a release set with its signatures, which are not verified here.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function signedReleaseSetFromJson(value: unknown): Signed<ReleaseSet> {
  return signedFromJson(value, WHAT, { read: readReleaseSet, encode: encodeReleaseSet });
}
