/**
 * The governed record: what may change of a network, with governance signatures. The highest version that any peer
 * has seen wins; an older one is refused, and so is another one of the same version.
 *
 * Everything here is public. Spec: docs/formats/governance.md.
 */
import type { KeyObject } from 'node:crypto';
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { cborFields, decodeLabelled, encodeLabelled, GOVERNANCE_LABEL, readBody } from './canonical.ts';
import type { Charter } from './charter.ts';
import type { Faults, Field } from './fields.ts';
import { isDeveloperNetwork, PARTY, readKeys, readNetwork, sortedKeys, VERSION } from './names.ts';
import { proposalFor, verifyApprovals, withApproval } from './proposal.ts';
import { decodeSigned, type Signed, signedFromJson } from './signed.ts';

/** One party as the record names it. */
export interface RecordParty {
  readonly party: number;
  /** Ethereum address of the node's key, 20 bytes; absent until the party is enrolled. */
  readonly address?: Uint8Array | undefined;
  /** Where its mesh listens: `host:port`. */
  readonly endpoint?: string | undefined;
  /** Its keys of AWS KMS, whose policies name its own charter; absent: it uses none. */
  readonly aws?: AwsKeys | undefined;
}

/** An EIP-712 domain in which engines may sign. */
export interface AllowedDomain {
  readonly name: string;
  readonly version: string;
  readonly chainId: number;
  /** 20 bytes. */
  readonly verifyingContract: Uint8Array;
}

/** A party's keys of AWS KMS: ARNs of keys in its account and region. */
export interface AwsKeys {
  readonly account: string;
  readonly region: string;
  /** Seals private objects. */
  readonly primaryKeyId: string;
  /** Seals backups; absent where custodians do, or nobody. */
  readonly backupKeyId?: string | undefined;
  /** Key of a release before: it opens what is not yet sealed under the primary key, and seals nothing. */
  readonly previousKeyId?: string | undefined;
  /** SHA-384 of the primary key's policy, 48 bytes; absent: peers take the one that the party tells. */
  readonly keyPolicy?: Uint8Array | undefined;
}

/** What may change of a network. */
export interface GovernedRecord {
  readonly version: number;
  readonly network: string;
  /** Raw Ed25519 public keys, ascending; 2t + 1 of them sign a release set. */
  readonly releaseKeys: readonly Uint8Array[];
  /** Ascending by number. */
  readonly parties: readonly RecordParty[];
  /** The MPC context, 32 bytes. */
  readonly context: Uint8Array;
  /** Name of the rule by which engines authorize decryptions. */
  readonly authorizationPolicy: string;
  /** Absent: any, which only networks of developer mode may say. */
  readonly eip712Domains?: readonly AllowedDomain[] | undefined;
}

const WHAT = 'the governed record';
const MAX_PARTIES = 128;
const POLICY = /^[a-z][a-z0-9.-]{0,63}$/;
const ENDPOINT = /^[\x21-\x7e]{1,255}$/;
const DOMAIN_TEXT = /^[\x20-\x7e]{1,128}$/;
const AWS_REGION = /^[a-z]{2}(?:-[a-z]+)+-\d{1,2}$/;
const AWS_KEY = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):(\d{12}):key\/[0-9a-z-]{8,64}$/;

/**
 * Makes the unsigned form of a record, sorting keys and parties.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function makeRecord(fields: GovernedRecord): Signed<GovernedRecord> {
  const parties = [...fields.parties].sort((a, b) => a.party - b.party);
  const bytes = encodeRecord({ ...fields, parties, releaseKeys: sortedKeys(fields.releaseKeys) });
  return { body: decodeRecord(bytes), bytes, signatures: [], approvals: [] };
}

/** Returns the record with the approval of one more governance key. */
export function signRecord(record: Signed<GovernedRecord>, privateKey: KeyObject): Signed<GovernedRecord> {
  return withApproval('record', record, privateKey);
}

/** Returns the canonical bytes of a record's body. */
export function encodeRecord(record: GovernedRecord): Uint8Array {
  return encodeLabelled(GOVERNANCE_LABEL.record, {
    version: record.version,
    network: record.network,
    releaseKeys: [...record.releaseKeys],
    parties: record.parties.map(({ aws, ...party }) => cborFields({ ...party, aws: aws && cborFields({ ...aws }) })),
    context: record.context,
    authorizationPolicy: record.authorizationPolicy,
    eip712Domains: record.eip712Domains?.map((domain) => cborFields({ ...domain })),
  });
}

/**
 * Reads the canonical bytes of a record's body.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function decodeRecord(bytes: Uint8Array): GovernedRecord {
  return decodeLabelled(bytes, GOVERNANCE_LABEL.record, WHAT, readRecord);
}

/**
 * Reads a stored record with its approvals, which are not verified here.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function decodeSignedRecord(bytes: Uint8Array): Signed<GovernedRecord> {
  return decodeSigned(bytes, WHAT, decodeRecord);
}

/**
 * Reads and verifies a stored record: of this network, approved by m governance keys of the charter.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if it is malformed, `PERMISSION_DENIED` if it is of another network,
 *   `APPROVAL_MISSING` if governance has not signed it.
 */
export function verifyRecord(bytes: Uint8Array, charter: Charter): Signed<GovernedRecord> {
  const record = decodeSignedRecord(bytes);
  if (record.body.network !== charter.network) {
    throw new KmsError('PERMISSION_DENIED', `the governed record is of another network than ${charter.network}`);
  }
  verifyApprovals(proposalFor('record', record), record.approvals, charter);
  return record;
}

/** Reads the fields of a record in either form; faults are noted. */
export function readRecord(body: Field, faults: Faults): GovernedRecord {
  const record = body.object(
    (fields): GovernedRecord => ({
      version: fields.get('version').int(VERSION),
      network: readNetwork(fields.get('network')),
      releaseKeys: readKeys(fields.get('releaseKeys')),
      parties: fields.get('parties').sortedList({ min: 1, max: MAX_PARTIES }, readParty, (a, b) => a.party - b.party),
      context: fields.get('context').bytes(32),
      authorizationPolicy: fields
        .get('authorizationPolicy')
        .text(POLICY, "a policy's name: a-z, 0-9, '.' and '-', at most 64, a letter first"),
      eip712Domains: fields.optional('eip712Domains', (field) => field.list({ min: 0, max: 64 }, readDomain)),
    }),
  );
  checkRecord(record, faults);
  return record;
}

function checkRecord(record: GovernedRecord, faults: Faults): void {
  const addresses = record.parties.flatMap(({ address }) => (address === undefined ? [] : [toHex(address)]));
  if (new Set(addresses).size !== addresses.length) faults.add('parties', 'two parties have the same address');
  if (record.eip712Domains === undefined && record.network !== '' && !isDeveloperNetwork(record.network)) {
    faults.add('eip712Domains', 'must name the allowed domains; only networks of developer mode allow any');
  }
}

function readParty(item: Field): RecordParty {
  return item.object((fields) => {
    const address = fields.optional('address', (field) => field.bytes(20));
    const aws = fields.optional('aws', readAws);
    const endpoint = fields.optional('endpoint', (field) =>
      field.text(ENDPOINT, 'an address to connect to, at most 255 printable characters'),
    );
    return {
      party: fields.get('party').int(PARTY),
      ...(address === undefined ? {} : { address }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(aws === undefined ? {} : { aws }),
    };
  });
}

function readDomain(item: Field): AllowedDomain {
  return item.object((fields) => ({
    name: fields.get('name').text(DOMAIN_TEXT, 'at most 128 printable characters'),
    version: fields.get('version').text(DOMAIN_TEXT, 'at most 128 printable characters'),
    chainId: fields.get('chainId').int({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    verifyingContract: fields.get('verifyingContract').bytes(20),
  }));
}

function readAws(field: Field): AwsKeys {
  return field.object((fields) => {
    const account = fields.get('account').text(/^\d{12}$/, 'an AWS account of 12 digits');
    const region = fields.get('region').text(AWS_REGION, 'an AWS region such as eu-west-1');
    const key = (item: Field): string => {
      const arn = item.text(AWS_KEY, "the ARN of an AWS KMS key, not the key's id alone");
      const [, itsRegion, itsAccount] = AWS_KEY.exec(arn) ?? [];
      const isElsewhere = itsRegion !== undefined && (itsRegion !== region || itsAccount !== account);
      if (isElsewhere) item.fault('is a key of another account or region');
      return arn;
    };
    const backupKeyId = fields.optional('backupKeyId', key);
    const previousKeyId = fields.optional('previousKeyId', key);
    const keyPolicy = fields.optional('keyPolicy', (item) => item.bytes(48));
    return {
      account,
      region,
      primaryKeyId: key(fields.get('primaryKeyId')),
      ...(backupKeyId === undefined ? {} : { backupKeyId }),
      ...(previousKeyId === undefined ? {} : { previousKeyId }),
      ...(keyPolicy === undefined ? {} : { keyPolicy }),
    };
  });
}

/** Returns the JSON form of a record's body for people. */
export function recordToJson(record: GovernedRecord): Readonly<Record<string, unknown>> {
  return {
    version: record.version,
    network: record.network,
    releaseKeys: record.releaseKeys.map(toHex),
    parties: record.parties.map((party) => ({
      ...party,
      ...(party.address === undefined ? {} : { address: toHex(party.address) }),
      ...(party.aws?.keyPolicy === undefined ? {} : { aws: { ...party.aws, keyPolicy: toHex(party.aws.keyPolicy) } }),
    })),
    context: toHex(record.context),
    authorizationPolicy: record.authorizationPolicy,
    ...(record.eip712Domains === undefined
      ? {}
      : {
          eip712Domains: record.eip712Domains.map((domain) => ({
            ...domain,
            verifyingContract: toHex(domain.verifyingContract),
          })),
        }),
  };
}

/**
 * Reads the JSON form of a record's body.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function recordFromJson(value: unknown): GovernedRecord {
  return readBody(value, 'json', WHAT, readRecord);
}

/**
 * Reads the JSON form of a record with its approvals, which are not verified here.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function signedRecordFromJson(value: unknown): Signed<GovernedRecord> {
  return signedFromJson(value, WHAT, { read: readRecord, encode: encodeRecord });
}
