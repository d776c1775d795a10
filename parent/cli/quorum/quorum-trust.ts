/**
 * What the parties of a developer quorum are attested under: one root, one governance key and one release key in the
 * folder of the quorum, and in each party's own folder its charter and the one record that names them all. Copies of both lie
 * beside the keys: a quorum whose vaults are in S3 comes back from there and from this folder alone.
 *
 * SECRET in so far as who reads them can pass for this network: the keys. They stay in this process and its files.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type DeveloperRoot, openDeveloperRoot } from '../../../attestation/developer/developer-root.ts';
import {
  type Charter,
  decodeCharter,
  decodeSignedRecord,
  encodeSigned,
  type GovernedRecord,
  makeRecord,
  type RecordParty,
  rawPublicKey,
  type Signed,
  signRecord,
  verifyRecord,
} from '../../../attestation/governance/index.ts';
import { equalBytes } from '../../../common/bytes.ts';
import type { Clock } from '../../../common/clock.ts';
import { isKmsError } from '../../../common/errors.ts';
import { parseHostPort } from '../../../common/node-config.ts';
import { DEFAULT_CONTEXT_ID, idBytes } from '../../../wire/ids.ts';
import { failure, hasCode } from '../framework/failure.ts';
import type { PartyKeys } from '../supervise/aws/aws-file.ts';
import { withRootKeys } from '../supervise/aws/record-keys.ts';
import { readIfThere, readOf, writeWhole } from '../supervise/developer-trust.ts';
import { openSigningKey } from '../supervise/signing-key-file.ts';
import { partyFolder, STATE_FILES } from '../supervise/state-folder.ts';
import { openCharters } from './open-charters.ts';

/** See the file comment. */
export interface QuorumTrust {
  readonly root: DeveloperRoot;
  /** Charter of party 1: the others differ in the number alone. */
  readonly charter: Charter;
  readonly record: Signed<GovernedRecord>;
  readonly governanceKey: KeyObject;
  readonly releaseKey: KeyObject;
}

/** Where the mesh of a party is found by the others. */
export interface PartyEndpoint {
  readonly party: number;
  readonly endpoint: string;
}

const CURE = 'restore the files that belong together from a copy, or start over with --reset';

/** Returns the folder of what all parties have in common. */
export function trustFolder(dir: string): string {
  return join(dir, STATE_FILES.governance);
}

/** Returns the copy of a file of governance that outlives the folders of all parties. */
function keptFile(dir: string, name: 'charter' | 'record'): string {
  return join(trustFolder(dir), `${name}.cbor`);
}

/** Returns a file of governance within a party's own folder. */
export function governanceFile(dir: string, party: number, name: 'charter' | 'record' | 'releases'): string {
  return join(partyFolder(dir, party), STATE_FILES.governance, `${name}.cbor`);
}

/** Stands in module ids as the instance that engine and Core of a party share; the same at every start. */
export function instanceIdOf(charter: Charter, party: number): string {
  const digest = createHash('sha256').update(`${charter.network}/${party}`).digest('hex');
  return `i-${digest.slice(0, 17)}`;
}

/**
 * Opens what is there and makes what is missing; the record gets a new version if the parties are found elsewhere than it
 * says.
 *
 * @param endpoints - One for each party, ascending.
 * @param known - Whether no engine has seen a record yet; the folders tell unless private vaults are elsewhere.
 * @throws {@link KmsError} `STATE_INVALID` if the parts do not belong together.
 */
export async function openQuorumTrust(
  dir: string,
  endpoints: readonly PartyEndpoint[],
  clock: Clock,
  { isFirstStart = undefined }: { readonly isFirstStart?: boolean | undefined } = {},
): Promise<QuorumTrust> {
  const folder = trustFolder(dir);
  const root = await openDeveloperRoot(folder, { clock });
  const governanceKey = await openSigningKey(join(folder, 'governance-key.pem'));
  const releaseKey = await openSigningKey(join(folder, 'release-key.pem'));
  const numbers = endpoints.map(({ party }) => party);
  // Vaults in the folders are gone with them: a copy would name parties that nobody can be any more.
  const isKept = isFirstStart === false;
  const charter = await openCharters({
    files: numbers.map((party) => ({ party, path: governanceFile(dir, party, 'charter') })),
    copy: keptFile(dir, 'charter'),
    isCopyGood: isKept,
    governanceKey,
    rootCertificate: root.certificate,
  });
  const known = await readNewestRecord(dir, numbers, charter, isKept);
  const isFirst = isFirstStart ?? (await holdNothing(dir, numbers));
  const version = isFirst ? 1 : Math.floor(clock.nowMs() / 1000);
  const body = known?.body ?? firstRecord(charter, version, numbers, releaseKey);
  const parties = withEndpoints(body, endpoints);
  const current =
    parties === undefined && known !== undefined
      ? known
      : approve({ ...body, version: body.version + (known === undefined ? 0 : 1), parties: parties ?? body.parties });
  await writeRecord(dir, current);
  return { root, charter, record: current, governanceKey, releaseKey };

  function approve(record: GovernedRecord): Signed<GovernedRecord> {
    return signRecord(makeRecord(record), governanceKey);
  }
}

/**
 * Puts the next version of the record, which names an address for every party, into all folders.
 *
 * @returns What the parties then read.
 */
export async function enrolParties(
  dir: string,
  { record, governanceKey }: Pick<QuorumTrust, 'record' | 'governanceKey'>,
  addresses: ReadonlyMap<number, Uint8Array>,
): Promise<Signed<GovernedRecord>> {
  const { body } = record;
  const parties = body.parties.map((entry): RecordParty => {
    const address = addresses.get(entry.party) ?? entry.address;
    return address === undefined ? entry : { ...entry, address };
  });
  const next = signRecord(makeRecord({ ...body, version: body.version + 1, parties }), governanceKey);
  await writeRecord(dir, next);
  return next;
}

/**
 * Puts the root keys of all parties into the record of all folders, unless they are there.
 *
 * @returns What the parties then read.
 */
export async function nameRootKeys(
  dir: string,
  { record, governanceKey }: Pick<QuorumTrust, 'record' | 'governanceKey'>,
  keys: ReadonlyMap<number, PartyKeys>,
): Promise<Signed<GovernedRecord>> {
  const named = withRootKeys(record, keys, governanceKey);
  await writeRecord(dir, named);
  return named;
}

/**
 * Returns the record that the parties' folders hold, its signatures verified under their charter.
 *
 * @throws {@link KmsError} `STATE_INVALID` if there is none, or it does not belong to the charter.
 */
export async function readQuorumRecord(dir: string, parties: number): Promise<GovernedRecord> {
  const path = governanceFile(dir, 1, 'charter');
  const bytes = await readIfThere(path);
  const numbers = Array.from({ length: parties }, (_, index) => index + 1);
  const charter = bytes && (await readOf(path, () => decodeCharter(bytes)));
  const record = charter && (await readNewestRecord(dir, numbers, charter));
  if (record !== undefined) return record.body;
  throw failure(
    'STATE_INVALID',
    `${dir} holds a quorum that was never started`,
    `start it: arca dev --dir ${dir} --parties ${parties}`,
  );
}

/** Reads the newest record of all parties' folders; undefined before the first start. */
async function readNewestRecord(
  dir: string,
  parties: readonly number[],
  charter: Charter,
  isKept = false,
): Promise<Signed<GovernedRecord> | undefined> {
  let newest: Signed<GovernedRecord> | undefined;
  const files = parties.map((party) => governanceFile(dir, party, 'record'));
  for (const path of isKept ? [...files, keptFile(dir, 'record')] : files) {
    const bytes = await readIfThere(path);
    if (bytes === undefined) continue;
    const record = await readOf(path, () => verifyRecord(bytes, charter));
    if (newest === undefined || record.body.version > newest.body.version) newest = record;
  }
  if (newest === undefined) return undefined;
  const named = newest.body.parties.map(({ party }) => party);
  if (named.join() === parties.join()) return newest;
  throw failure('STATE_INVALID', `the governed record names the parties ${named.join(', ')}`, CURE);
}

/**
 * Returns where the meshes listened at the last start, as far as that can be told: a hint, which nothing but the choice of
 * a port depends on.
 */
export async function readMeshPorts(dir: string, parties: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const ports = new Map<number, number>();
  for (const party of parties) {
    const bytes = await readIfThere(governanceFile(dir, party, 'record'));
    if (bytes === undefined) continue;
    try {
      for (const { party: number, endpoint = '' } of decodeSignedRecord(bytes).body.parties) {
        const port = parseHostPort(endpoint)?.port;
        if (port !== undefined) ports.set(number, port);
      }
      return ports;
    } catch (error) {
      if (!isKmsError(error)) throw error; // it is judged, and named, where the record is opened
    }
  }
  return ports;
}

function firstRecord(
  { network }: Charter,
  version: number,
  parties: readonly number[],
  releaseKey: KeyObject,
): GovernedRecord {
  return {
    version,
    network,
    releaseKeys: [rawPublicKey(releaseKey)],
    parties: parties.map((party) => ({ party })),
    context: idBytes(DEFAULT_CONTEXT_ID),
    authorizationPolicy: 'operator-trusted',
  };
}

/**
 * An engine remembers the records that it has seen and takes none that is older: where all files are lost, the seconds
 * since 1970 are beyond all versions that were counted one by one.
 */
async function holdNothing(dir: string, parties: readonly number[]): Promise<boolean> {
  for (const party of parties) {
    try {
      if ((await readdir(join(partyFolder(dir, party), STATE_FILES.privateVault))).length > 0) return false;
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }
  return true;
}

/** Returns the record's parties with these endpoints, undefined if they are there already. */
function withEndpoints(
  { parties }: GovernedRecord,
  endpoints: readonly PartyEndpoint[],
): readonly RecordParty[] | undefined {
  const changed = parties.map((entry): RecordParty => {
    const endpoint = endpoints.find(({ party }) => party === entry.party)?.endpoint;
    return endpoint === undefined ? entry : { ...entry, endpoint };
  });
  return changed.every(({ endpoint }, at) => endpoint === parties[at]?.endpoint) ? undefined : changed;
}

async function writeRecord(dir: string, record: Signed<GovernedRecord>): Promise<void> {
  const bytes = encodeSigned(record);
  const files = record.body.parties.map(({ party }) => governanceFile(dir, party, 'record'));
  for (const path of [keptFile(dir, 'record'), ...files]) {
    const there = await readIfThere(path);
    if (there === undefined || !equalBytes(there, bytes)) await writeWhole(path, bytes);
  }
}
