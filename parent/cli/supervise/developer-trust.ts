/**
 * What a developer node is attested under: root, keys, charter and governed record, made on the first start and kept.
 *
 * A state folder of a release without them is taken up the same way: its node is enrolled under the charter that is
 * made now. The root key, like the governance key, stands in a file of the user's own; no child process is given it.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type DeveloperRoot, openDeveloperRoot } from '../../../attestation/developer/developer-root.ts';
import {
  type Charter,
  decodeCharter,
  encodeCharter,
  encodeSigned,
  type GovernedRecord,
  makeCharter,
  makeRecord,
  rawPublicKey,
  type Signed,
  signRecord,
  verifyRecord,
} from '../../../attestation/governance/index.ts';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { type Clock, systemClock } from '../../../common/clock.ts';
import { isKmsError } from '../../../common/errors.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { systemRandom } from '../../../common/random.ts';
import { DEFAULT_CONTEXT_ID, idBytes } from '../../../wire/ids.ts';
import { failure, hasCode } from '../framework/failure.ts';
import { openSigningKey } from './signing-key-file.ts';

/** See the file comment. */
export interface DeveloperTrust {
  readonly root: DeveloperRoot;
  readonly charter: Charter;
  readonly record: Signed<GovernedRecord>;
  readonly governanceKey: KeyObject;
  readonly releaseKey: KeyObject;
  /** Stands in module ids as the instance that engine and core share; the same at every start of the same state folder. */
  readonly instanceId: string;
}

/** Files of developer mode, as a configuration names them. */
export interface TrustPaths {
  readonly charter: string;
  readonly record: string;
  readonly releases: string;
  readonly root: string;
  readonly governanceKey: string;
  /** Of the node's state: who runs another folder with the same charter is another server. */
  readonly state: string;
}

const RELEASE_KEY_FILE = 'release-key.pem';
const NETWORK_BYTES = 8;
const CURE = 'restore the files that belong together from a copy, or start over with --reset';

/** Returns the files that a configuration of developer mode names. */
export function trustPaths({ attestation, state }: NodeConfig): TrustPaths {
  const root = attestation.developer_root_path ?? '';
  return {
    charter: attestation.charter_path,
    record: attestation.record_path,
    releases: attestation.releases_path,
    root,
    governanceKey: attestation.developer_governance_key_path ?? join(dirname(root), 'governance-key.pem'),
    state: state.path,
  };
}

/**
 * Opens what is there and makes what is missing.
 *
 * @throws {@link KmsError} `STATE_INVALID` if the parts do not belong together.
 */
export async function openDeveloperTrust(paths: TrustPaths, clock: Clock = systemClock): Promise<DeveloperTrust> {
  const root = await openDeveloperRoot(dirname(paths.root), { clock });
  const governanceKey = await openSigningKey(paths.governanceKey);
  const releaseKey = await openSigningKey(join(dirname(paths.governanceKey), RELEASE_KEY_FILE));
  const anchor = createHash('sha256').update(root.certificate).digest();
  const charter = await openCharter(paths.charter, anchor, governanceKey);
  const record = await openRecord(paths.record, charter, { governanceKey, releaseKey });
  const instance = createHash('sha256')
    .update(`${charter.network}/${resolve(paths.state)}`)
    .digest('hex')
    .slice(0, 17);
  return { root, charter, record, governanceKey, releaseKey, instanceId: `i-${instance}` };
}

async function openCharter(path: string, anchor: Uint8Array, governanceKey: KeyObject): Promise<Charter> {
  const bytes = await readIfThere(path);
  if (bytes === undefined) {
    const network = `dev:${toHex(systemRandom(NETWORK_BYTES))}`;
    const governance = { keys: [rawPublicKey(governanceKey)], threshold: 1 };
    const charter = makeCharter({ network, party: 1, governance, anchor });
    await writeWhole(path, encodeCharter(charter));
    return charter;
  }
  const charter = await readOf(path, () => decodeCharter(bytes));
  if (!equalBytes(charter.anchor, anchor)) {
    throw failure('STATE_INVALID', `${path} names another developer root than the one that is there`, CURE);
  }
  if (!charter.governance.keys.some((key) => equalBytes(key, rawPublicKey(governanceKey)))) {
    throw failure('STATE_INVALID', `${path} names another governance key than the one that is there`, CURE);
  }
  return charter;
}

async function openRecord(
  path: string,
  charter: Charter,
  { governanceKey, releaseKey }: { readonly governanceKey: KeyObject; readonly releaseKey: KeyObject },
): Promise<Signed<GovernedRecord>> {
  const bytes = await readIfThere(path);
  if (bytes !== undefined) return await readOf(path, () => verifyRecord(bytes, charter));
  const unsigned = makeRecord({
    version: 1,
    network: charter.network,
    releaseKeys: [rawPublicKey(releaseKey)],
    parties: [{ party: charter.party }],
    context: idBytes(DEFAULT_CONTEXT_ID),
    authorizationPolicy: 'operator-trusted',
  });
  const record = signRecord(unsigned, governanceKey);
  await writeWhole(path, encodeSigned(record));
  return record;
}

/**
 * Reads what a file of the node holds.
 *
 * @throws {@link KmsError} `STATE_INVALID` naming the file, if it is damaged or does not belong to the others.
 */
export async function readOf<T>(path: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!isKmsError(error)) throw error;
    throw failure('STATE_INVALID', `${path}: ${error.message}`, CURE, {}, error);
  }
}

/** Returns the bytes of a file, undefined if it is not there. */
export async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Writes a file durably and in one step, and makes its folder. */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}
