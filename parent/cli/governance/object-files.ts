/**
 * Files of governance: charters, records, release sets, proposals, as canonical CBOR or in their JSON form. They are
 * public, but people sign what these files say, so they are written whole or not at all, and never over one another.
 */
import { link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { decodeStrict } from '../../../attestation/cbor.ts';
import {
  type Charter,
  charterFromJson,
  decodeCharter,
  decodeSignedProposal,
  decodeSignedRecord,
  decodeSignedReleaseSet,
  GOVERNANCE_LABEL,
  type GovernedRecord,
  type Proposal,
  type ReleaseSet,
  type Signed,
  signedProposalFromJson,
  signedRecordFromJson,
  signedReleaseSetFromJson,
} from '../../../attestation/governance/index.ts';
import { KmsError } from '../../../common/errors.ts';
import { failure, hasCode } from '../framework/failure.ts';
import { readLimited } from '../framework/read-limited.ts';

/** What a file of governance may hold. */
export interface GovernedObjects {
  readonly charter: Charter;
  readonly record: Signed<GovernedRecord>;
  readonly 'release-set': Signed<ReleaseSet>;
  readonly proposal: Signed<Proposal>;
}

/** Kind of the object in a file. */
export type ObjectKind = keyof GovernedObjects;

/** An object with its kind. */
export type GovernedFile = {
  readonly [K in ObjectKind]: { readonly kind: K; readonly object: GovernedObjects[K] };
}[ObjectKind];

const NAMES: Readonly<Record<ObjectKind, string>> = {
  charter: 'a charter',
  record: 'a governed record',
  'release-set': 'a release set',
  proposal: 'a proposal',
};

/** Larger than any object: a release set of 512 entries in JSON. */
const MAX_FILE_BYTES = 8 * 1024 * 1024;

/**
 * Reads a file of governance, whatever it holds.
 *
 * @throws {@link KmsError} `NOT_FOUND`, or `REQUEST_INVALID` with every fault of the object.
 */
export async function readGoverned(path: string): Promise<GovernedFile> {
  const bytes = await readBytes(path);
  try {
    return bytes[0] === 0x7b ? fromJson(JSON.parse(bytes.toString('utf8'))) : fromCbor(bytes, path);
  } catch (error) {
    if (error instanceof SyntaxError) throw new KmsError('REQUEST_INVALID', `${path} is no JSON`, {}, error);
    throw error;
  }
}

/**
 * Reads a file that must hold an object of one kind.
 *
 * @throws {@link KmsError} as {@link readGoverned}; `REQUEST_INVALID` if it holds another kind.
 */
export async function readObject<K extends ObjectKind>(path: string, kind: K): Promise<GovernedObjects[K]> {
  const file = await readGoverned(path);
  if (isOfKind(file, kind)) return file.object;
  throw failure('REQUEST_INVALID', `${path} holds ${NAMES[file.kind]}`, `give ${NAMES[kind]}`);
}

function isOfKind<K extends ObjectKind>(
  file: GovernedFile,
  kind: K,
): file is GovernedFile & { readonly object: GovernedObjects[K] } {
  return file.kind === kind;
}

/**
 * Reads a JSON file.
 *
 * @throws {@link KmsError} `NOT_FOUND` or `REQUEST_INVALID`.
 */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse((await readBytes(path)).toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new KmsError('REQUEST_INVALID', `${path} is no JSON`, {}, error);
    throw error;
  }
}

/**
 * Reads a small file.
 *
 * @throws {@link KmsError} `NOT_FOUND` if it is not there, `REQUEST_INVALID` if it is larger than 8 MiB or a folder.
 */
export async function readBytes(path: string): Promise<Buffer> {
  try {
    const bytes = await readLimited(path, MAX_FILE_BYTES);
    if (bytes !== undefined) return bytes;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) throw failure('NOT_FOUND', `no file ${path}`, 'check the path', {}, error);
    throw failure('REQUEST_INVALID', `cannot read ${path}`, 'check the path and its permissions', {}, error);
  }
  throw failure('REQUEST_INVALID', `${path} is larger than ${MAX_FILE_BYTES} bytes`, 'give a file of governance');
}

/**
 * Writes a new file, whole or not at all.
 *
 * @param force - Whether a file that is there may be replaced.
 * @throws {@link KmsError} `ALREADY_EXISTS` if it is there.
 */
export async function writeNewFile(path: string, bytes: Uint8Array | string, force: boolean): Promise<void> {
  const temp = join(dirname(path), `.${basename(path)}.${process.pid}.new`);
  try {
    await writeTemp(temp, bytes);
    if (force) await rename(temp, path);
    else await link(temp, path); // unlike a rename, refuses when somebody was quicker
  } catch (error) {
    if (hasCode(error, 'EEXIST')) {
      throw failure('ALREADY_EXISTS', `${path} is there already`, 'choose another --out, or give --force', {}, error);
    }
    throw failure('REQUEST_INVALID', `cannot write ${path}`, 'check the folder and its permissions', {}, error);
  } finally {
    await rm(temp, { force: true });
  }
}

async function writeTemp(path: string, bytes: Uint8Array | string): Promise<void> {
  await rm(path, { force: true });
  const file = await open(path, 'wx', 0o644);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

function fromCbor(bytes: Uint8Array, path: string): GovernedFile {
  switch (labelOf(bytes, path)) {
    case GOVERNANCE_LABEL.charter:
      return { kind: 'charter', object: decodeCharter(bytes) };
    case GOVERNANCE_LABEL.record:
      return { kind: 'record', object: decodeSignedRecord(bytes) };
    case GOVERNANCE_LABEL.releaseSet:
      return { kind: 'release-set', object: decodeSignedReleaseSet(bytes) };
    case GOVERNANCE_LABEL.proposal:
      return { kind: 'proposal', object: decodeSignedProposal(bytes) };
    default:
      throw new KmsError('REQUEST_INVALID', `${path} holds no charter, governed record, release set or proposal`);
  }
}

/** Reads the label alone; what it announces is checked by its own reader. */
function labelOf(bytes: Uint8Array, path: string): unknown {
  const decode = (data: Uint8Array) => {
    try {
      return decodeStrict(data, { maxBytes: MAX_FILE_BYTES, maxDepth: 16 });
    } catch (error) {
      throw new KmsError('REQUEST_INVALID', `${path} is neither JSON nor strict CBOR`, {}, error);
    }
  };
  const outer = decode(bytes);
  const body = outer instanceof Map ? outer.get('body') : undefined;
  const labelled = body instanceof Uint8Array ? decode(body) : outer;
  return Array.isArray(labelled) ? labelled[0] : undefined;
}

/** The JSON form, bare or as `show --json` prints it: under the name of its kind. */
function fromJson(value: unknown): GovernedFile {
  const shown = ['charter', 'record', 'releaseSet', 'proposal'].find((name) => isObject(member(value, name)));
  const object = shown === undefined ? value : member(value, shown);
  if (isObject(member(object, 'governance'))) return { kind: 'charter', object: charterFromJson(object) };
  const body = member(object, 'body');
  if (member(body, 'entries') !== undefined) return { kind: 'release-set', object: signedReleaseSetFromJson(object) };
  if (member(body, 'kind') !== undefined) return { kind: 'proposal', object: signedProposalFromJson(object) };
  if (isObject(body)) return { kind: 'record', object: signedRecordFromJson(object) };
  throw new KmsError(
    'REQUEST_INVALID',
    'the file holds no charter (with governance), record, release set or proposal (with body)',
  );
}

function member(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
