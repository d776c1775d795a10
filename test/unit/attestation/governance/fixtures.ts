/**
 * Keys and objects for tests of governance: a developer network and one of production, from fixed seeds.
 */
import { createHash, createPrivateKey, type KeyObject } from 'node:crypto';
import {
  AWS_ANCHOR,
  type Charter,
  encodeSigned,
  type GovernedRecord,
  makeCharter,
  makeRecord,
  makeReleaseSet,
  type ReleaseEntry,
  type ReleaseSet,
  rawPublicKey,
  type Signed,
  signRecord,
  signReleaseSet,
  withApproval,
} from '../../../../attestation/governance/index.ts';
import { present } from '../../../helpers/present.ts';

export const DAY_MS = 86_400_000;
export const NOW_MS = 1_800_000_000_000;
export const MAINNET = 'mainnet-1';

/** Returns the Ed25519 key of a seed. */
export function keyOf(seed: string): KeyObject {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), sha256(seed)]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

export const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
export const digestOf = (text: string): Uint8Array => Uint8Array.from(createHash('sha384').update(text).digest());

/** Governance and release keys: four each, of which three must sign. */
export const GOVERNANCE = ['g1', 'g2', 'g3', 'g4'].map(keyOf);
export const RELEASE = ['r1', 'r2', 'r3', 'r4'].map(keyOf);

export function charterOf(fields: Partial<Omit<Charter, 'version'>> = {}): Charter {
  return makeCharter({
    network: MAINNET,
    party: 1,
    governance: { keys: GOVERNANCE.map(rawPublicKey), threshold: 3 },
    anchor: AWS_ANCHOR,
    ...fields,
  });
}

export const CHARTER = charterOf();
export const DEV_KEY = keyOf('dev');
export const DEV_CHARTER = charterOf({
  network: 'dev:0123abcd',
  governance: { keys: [rawPublicKey(DEV_KEY)], threshold: 1 },
  anchor: Uint8Array.from(sha256('developer root')),
});

const rootKey = (digit: number) => `arn:aws:kms:eu-west-1:123456789012:key/0000000${digit}-0000-4000-8000-000000000000`;
/** Of party 1 alone. */
export const AWS_KEYS = {
  account: '123456789012',
  region: 'eu-west-1',
  primaryKeyId: rootKey(2),
  backupKeyId: rootKey(3),
  previousKeyId: rootKey(1),
  keyPolicy: digestOf('policy'),
};

export function recordFields(version = 1, fields: Partial<GovernedRecord> = {}): GovernedRecord {
  return {
    version,
    network: MAINNET,
    releaseKeys: RELEASE.map(rawPublicKey),
    parties: [1, 2, 3, 4].map((party) => ({
      party,
      address: Uint8Array.from(sha256(`party ${party}`).subarray(12)),
      endpoint: `party-${party}.example.org:50200`,
      ...(party === 1 && { aws: AWS_KEYS }),
    })),
    context: Uint8Array.from(sha256('context')),
    authorizationPolicy: 'published',
    eip712Domains: [{ name: 'Decryption', version: '1', chainId: 1, verifyingContract: new Uint8Array(20).fill(7) }],
    ...fields,
  };
}

export function signedRecord(
  fields: GovernedRecord,
  keys: readonly KeyObject[] = GOVERNANCE.slice(0, 3),
): Signed<GovernedRecord> {
  return keys.reduce(signRecord, makeRecord(fields));
}

/** A tuple of registers with values made of a name. */
export function pcrsOf(name: string, indexes: readonly number[] = [0, 1, 2]): Map<number, Uint8Array> {
  return new Map(indexes.map((index) => [index, digestOf(`${name} ${index}`)]));
}

export function engineEntry(release: string, fields: Partial<ReleaseEntry> = {}): ReleaseEntry {
  return {
    release,
    platform: 'enclave',
    role: 'engine',
    pcrs: pcrsOf(release),
    notBeforeMs: NOW_MS - DAY_MS,
    notAfterMs: NOW_MS + 90 * DAY_MS,
    ...fields,
  };
}

export function coreEntry(release: string, fields: Partial<ReleaseEntry> = {}): ReleaseEntry {
  return engineEntry(release, {
    platform: 'nitro-tpm',
    role: 'core',
    pcrs: pcrsOf(release, [4, 7, 11, 12]),
    ...fields,
  });
}

/** A set with everything that it needs: 3 release keys and 3 governance keys. */
export function signedSet(set: ReleaseSet): Signed<ReleaseSet> {
  const signed = RELEASE.slice(0, 3).reduce((sum, key) => signReleaseSet(sum, key), makeReleaseSet(set));
  return GOVERNANCE.slice(1).reduce((sum, key) => withApproval('release-set', sum, key), signed);
}

export function setBytes(version: number, entries: readonly ReleaseEntry[]): Uint8Array {
  return encodeSigned(signedSet({ version, network: MAINNET, entries }));
}

export function recordBytes(version = 1, fields: Partial<GovernedRecord> = {}): Uint8Array {
  return encodeSigned(signedRecord(recordFields(version, fields)));
}

/** Returns the error that a body throws. */
export function thrownBy(body: () => unknown): Error {
  try {
    body();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  return present<Error>(undefined);
}
