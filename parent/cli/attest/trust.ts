/**
 * What a check is made against: the trust anchor, the releases, the charter. Nothing is trusted that nobody named: AWS's
 * root is built in, a developer root only counts when `--dir` or `--root` names it.
 */
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { AWS_NITRO_ROOT, type TrustAnchor } from '../../../attestation/document/index.ts';
import {
  charterDigest,
  charterFromJson,
  decodeCharter,
  measurementsOf,
  proposalFor,
  verifyApprovals,
  verifyRecord,
  verifyReleaseSet,
} from '../../../attestation/governance/index.ts';
import { equalBytes } from '../../../common/bytes.ts';
import { isKmsError } from '../../../common/errors.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { loadNodeConfig } from '../config/check-config.ts';
import { failure, hasCode, usageFailure } from '../framework/failure.ts';
import { readLimited } from '../framework/read-limited.ts';
import { readQuorumFile } from '../quorum/quorum-file.ts';
import { readNodeFile } from '../supervise/node-file.ts';
import { partyFolder, STATE_FILES } from '../supervise/state-folder.ts';
import { type MeasurementsAt, readExpectedRelease } from './expected-release.ts';

/** How a person names what is trusted. */
export interface TrustOptions {
  /** PEM file of a root. */
  readonly root?: string | undefined;
  /** State folder of a node of one's own: its root, charter and releases. */
  readonly dir?: string | undefined;
  /** Measurements that are trusted, instead of a folder's. */
  readonly expect?: string | undefined;
  /** Charter that the node must have. */
  readonly charter?: string | undefined;
}

/** See the file comment. */
export interface Trust {
  readonly anchor: TrustAnchor;
  /** The anchor is not AWS's: documents under it prove nothing about hardware. */
  readonly developer: boolean;
  /** Undefined if nobody has named any: then nothing is trusted. */
  readonly measurements: MeasurementsAt | undefined;
  /** SHA-384 of the charter that the node must have, if one was named. */
  readonly charterDigest: Uint8Array | undefined;
}

/** Larger than any root, charter, record or release set. */
const MAX_FILE_BYTES = 2 * 1024 * 1024;

/** Reads what the options name. @throws {@link KmsError} naming the file that is at fault. */
export async function openTrust(options: TrustOptions): Promise<Trust> {
  const config = options.dir === undefined ? undefined : await configOf(options.dir);
  const rootFile = options.root ?? config?.attestation.developer_root_path;
  const anchor = rootFile === undefined ? AWS_NITRO_ROOT : await readRoot(rootFile);
  const developer = !equalBytes(anchor.certificate, AWS_NITRO_ROOT.certificate);
  const named = options.expect === undefined ? undefined : await readExpectedRelease(options.expect, developer);
  const charterFile = options.charter ?? config?.attestation.charter_path;
  const charter = charterFile === undefined ? undefined : await readCharter(charterFile);
  return {
    anchor,
    developer,
    measurements: named ?? (config && (await releasesOf(config))),
    charterDigest: charter && charterDigest(charter),
  };
}

/** The configuration of the node that runs on a folder; if none runs, the one that `arca dev` last wrote there. */
async function configOf(dir: string): Promise<NodeConfig> {
  const quorum = await readQuorumFile(dir);
  if (quorum !== undefined) {
    const cure = `name the party: --dir ${partyFolder(dir, 1)} to ${partyFolder(dir, quorum.parties)}`;
    throw usageFailure(`${dir} holds a quorum of ${quorum.parties} parties, and a document is that of one`, cure);
  }
  const running = await readNodeFile(dir).catch((error: unknown) => {
    if (isKmsError(error, 'UNAVAILABLE')) return undefined;
    throw error;
  });
  return loadNodeConfig(running?.configFile ?? join(dir, STATE_FILES.config), process.env);
}

/** Releases of the folder, believed for the signatures that its charter and record ask for. */
async function releasesOf({ attestation }: NodeConfig): Promise<MeasurementsAt> {
  const charter = await readCharter(attestation.charter_path);
  const record = verifyRecord(await readBytes(attestation.record_path), charter);
  const set = verifyReleaseSet(await readBytes(attestation.releases_path), record.body);
  // As for every engine: release keys alone put nothing into force.
  verifyApprovals(proposalFor('release-set', set), set.approvals, charter);
  return (atMs) => measurementsOf(set.body, atMs);
}

async function readRoot(file: string): Promise<TrustAnchor> {
  const bytes = await readBytes(file);
  try {
    const certificate = new Uint8Array(new X509Certificate(bytes).raw);
    const aws = equalBytes(certificate, AWS_NITRO_ROOT.certificate);
    return { name: aws ? AWS_NITRO_ROOT.name : `the root in ${file}`, certificate };
  } catch (error) {
    throw failure('REQUEST_INVALID', `${file} holds no certificate`, 'give a root as PEM or DER', {}, error);
  }
}

async function readCharter(file: string): Promise<ReturnType<typeof decodeCharter>> {
  const bytes = await readBytes(file);
  const text = Buffer.from(bytes).toString('utf8').trimStart();
  return text.startsWith('{') ? charterFromJson(parseJson(text, file)) : decodeCharter(bytes);
}

async function readBytes(file: string): Promise<Uint8Array> {
  try {
    const bytes = await readLimited(file, MAX_FILE_BYTES);
    if (bytes !== undefined) return new Uint8Array(bytes);
  } catch (error) {
    const why = hasCode(error, 'ENOENT') ? 'there is no such file' : 'it cannot be read';
    throw failure('REQUEST_INVALID', `${file}: ${why}`, 'check the path, and who may read it', { file }, error);
  }
  throw failure('REQUEST_INVALID', `${file} has more than ${MAX_FILE_BYTES} bytes`, 'check the path', { file });
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw failure('REQUEST_INVALID', `${file} is damaged JSON`, 'give the charter as CBOR or JSON', {}, error);
  }
}
