/**
 * Reads what a configuration says a process is attested under. The files are the operator's: the charter is bound into
 * PCR16 and judged by peers, record and release set are believed for their signatures alone.
 */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import type { TrustAnchor } from '../document/index.ts';
import { type Charter, decodeCharter } from '../governance/index.ts';

/** What the files hold. */
export interface NodeFiles {
  readonly charter: Charter;
  /** Absent if there is no such file: an engine may remember a record. */
  readonly record: Uint8Array | undefined;
  readonly releases: Uint8Array | undefined;
}

/**
 * Reads charter, record and release set, and checks that the charter is one of this program's trust anchor: a charter
 * of developer mode is of no use to a production program, nor the reverse.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` naming the file and what is wrong with it.
 */
export async function readNodeFiles({ attestation }: NodeConfig, anchor: TrustAnchor): Promise<NodeFiles> {
  const { charter_path: path, record_path: record, releases_path: releases } = attestation;
  const bytes = await readIfThere(path);
  if (bytes === undefined) throw new KmsError('CONFIG_INVALID', `${path}: there is no such file`);
  const charter = parseCharter(bytes, path);
  if (!equalBytes(charter.anchor, createHash('sha256').update(anchor.certificate).digest())) {
    throw new KmsError('CONFIG_INVALID', `${path}: network ${charter.network} has another root than ${anchor.name}`);
  }
  return { charter, record: await readIfThere(record), releases: await readIfThere(releases) };
}

/** Reads record and release set again, for a process that waits for newer ones. Files that cannot be read are absent. */
export async function readGovernedFiles({ attestation }: NodeConfig): Promise<Omit<NodeFiles, 'charter'>> {
  const { record_path: record, releases_path: releases } = attestation;
  const read = (path: string): Promise<Uint8Array | undefined> => readFile(path).catch(() => undefined);
  return { record: await read(record), releases: await read(releases) };
}

/**
 * Reads the certificate of the developer root. Only the programs of developer mode call this.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if none is named or the file holds no certificate.
 */
export async function readDeveloperAnchor({ attestation }: NodeConfig): Promise<TrustAnchor> {
  const path = attestation.developer_root_path ?? '';
  const pem = await readIfThere(path);
  try {
    if (pem) return { name: 'developer root', certificate: new Uint8Array(new X509Certificate(pem).raw) };
  } catch (error) {
    throw new KmsError('CONFIG_INVALID', `${path} holds no certificate`, {}, error);
  }
  throw new KmsError('CONFIG_INVALID', `attestation.developer_root_path: ${path}: there is no such file`);
}

/**
 * Reads the governance key of developer mode, if one is named. Only the engine of developer mode calls this.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if the file holds no private key.
 */
export async function readGovernanceKey({ attestation }: NodeConfig): Promise<KeyObject | undefined> {
  const path = attestation.developer_governance_key_path;
  if (path === undefined) return undefined;
  const pem = await readFile(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    return createPrivateKey(pem);
  } catch {
    // The cause stays here: a parser's message may quote what it read.
    throw new KmsError('CONFIG_INVALID', `${path} holds no private key`);
  } finally {
    pem.fill(0);
  }
}

let drafts = 0;

/** Writes one of the node's files durably and in one step. Of two at once, one is left, whole. */
export async function writeNodeFile(path: string, bytes: Uint8Array): Promise<void> {
  drafts += 1;
  const draft = `${path}.${process.pid}-${drafts}.new`;
  const file = await open(draft, 'w', 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}

function parseCharter(bytes: Uint8Array, path: string): Charter {
  try {
    return decodeCharter(bytes);
  } catch (error) {
    const why = error instanceof KmsError ? error.message : 'it cannot be read';
    throw new KmsError('CONFIG_INVALID', `${path}: ${why}`, {}, error);
  }
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
}

function unreadable(path: string, cause: unknown): KmsError {
  return new KmsError('CONFIG_INVALID', `${path} cannot be read: ${systemErrorCode(cause) ?? 'failed'}`, {}, cause);
}
