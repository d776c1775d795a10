/**
 * Keys and CRSs of a node: generate, list, and check what the node signed about them.
 */
import { toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { systemRandom } from '../../../common/random.ts';
import { type CrsGenResult, FheParameter, type KeyGenResult } from '../../../proto/gen/kms_pb.js';
import {
  crsgenDigest,
  decompressionUpgradeDigest,
  KEY_DIGEST_TYPE,
  keygenDigest,
  type SignedKeyType,
} from '../../../wire/eip712.ts';
import { idFromBytes, parseRequestId, type RequestId } from '../../../wire/ids.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import { quorumAround } from '../quorum/quorum-file.ts';
import type { Params } from '../supervise/run-node.ts';
import type { RequestDomain } from './domain.ts';
import { addToJournal, type JournalEntry, readJournal } from './journal.ts';
import type { RequestPlace } from './place-options.ts';
import type { SignedObject } from './public-material.ts';
import type { Session } from './session.ts';
import { requireSigner } from './signer.ts';

/** What a node signed about a key. */
export interface KeyFacts {
  readonly keyId: RequestId;
  readonly preprocessingId: RequestId;
  readonly objects: readonly SignedObject[];
  readonly externalSignature: Uint8Array;
}

/** What a node signed about a CRS. */
export interface CrsFacts {
  readonly crsId: RequestId;
  readonly maxNumBits: number;
  readonly object: SignedObject;
  readonly externalSignature: Uint8Array;
}

/** Signed-over context of a generation. */
export interface GenerationContext {
  readonly domain: RequestDomain;
  readonly extraData: Uint8Array;
}

/** What is asked of where: all that the requests of a generation or a decryption have in common. */
export interface RequestContext extends GenerationContext {
  /** The default context and epoch if absent. */
  readonly place?: RequestPlace | undefined;
}

/** Returns the fields that the requests of generations have in common. */
export function commonFields(params: Params, { domain, extraData, place }: RequestContext) {
  return { params: paramsNumber(params), domain: domain.message, extraData, ...place };
}

/** Returns a fresh id for a request. */
export function randomId(): RequestId {
  return idFromBytes(systemRandom(32));
}

function paramsNumber(params: Params): FheParameter {
  return params === 'test' ? FheParameter.test : FheParameter.default;
}

/** Generates a key: preprocessing, then the key itself; returns when the node has stored and signed it. */
export async function generateKey(session: Session, params: Params, context: RequestContext): Promise<KeyFacts> {
  const preprocId = randomId();
  const keyId = randomId();
  const common = commonFields(params, context);
  await session.call('KeyGenPreproc', { requestId: { requestId: preprocId }, ...common });
  await session.poll('GetKeyGenPreprocResult', { requestId: preprocId });
  await addToJournal(session.dir, journalEntry('key', keyId, params));
  await session.call('KeyGen', { requestId: { requestId: keyId }, preprocId: { requestId: preprocId }, ...common });
  return keyFacts(await session.poll('GetKeyGenResult', { requestId: keyId }));
}

/** Generates a CRS for proofs of at most `maxNumBits` bits. */
export async function generateCrs(
  session: Session,
  { params, maxNumBits }: { readonly params: Params; readonly maxNumBits?: number | undefined },
  context: RequestContext,
): Promise<CrsFacts> {
  const crsId = randomId();
  await addToJournal(session.dir, journalEntry('crs', crsId, params));
  await session.call('CrsGen', {
    requestId: { requestId: crsId },
    ...commonFields(params, context),
    ...(maxNumBits === undefined ? {} : { maxNumBits }),
  });
  return crsFacts(await session.poll('GetCrsGenResult', { requestId: crsId }));
}

/** Returns what the node signed about a key. */
export async function getKey(session: Session, keyId: string): Promise<KeyFacts> {
  return keyFacts(await session.call('GetKeyGenResult', { requestId: readId(keyId) }));
}

/** Returns what the node signed about a CRS. */
export async function getCrs(session: Session, crsId: string): Promise<CrsFacts> {
  return crsFacts(await session.call('GetCrsGenResult', { requestId: readId(crsId) }));
}

/**
 * Requires that `signer` signed these digests of the key's objects.
 *
 * @throws {@link KmsError} `PERMISSION_DENIED` if not.
 */
export function verifyKeySignature(key: KeyFacts, signer: string, context: GenerationContext): void {
  const domain = context.domain.parsed;
  const { extraData } = context;
  const [first] = key.objects;
  const digest =
    first?.type === 'DecompressionKey'
      ? decompressionUpgradeDigest({ domain, keyDigest: first.digest, extraData })
      : keygenDigest({
          domain,
          prepKeygenId: key.preprocessingId,
          keyId: key.keyId,
          keyDigests: key.objects.map(({ type, digest }) => ({ type: signedKeyType(type), digest })),
          extraData,
        });
  requireSigner(digest, key.externalSignature, signer, `key ${key.keyId}`);
}

/** Requires that `signer` signed the digest of the CRS. @throws {@link KmsError} `PERMISSION_DENIED` if not. */
export function verifyCrsSignature(crs: CrsFacts, signer: string, context: GenerationContext): void {
  const digest = crsgenDigest({
    domain: context.domain.parsed,
    crsId: crs.crsId,
    maxBitLength: crs.maxNumBits,
    crsDigest: crs.object.digest,
    extraData: context.extraData,
  });
  requireSigner(digest, crs.externalSignature, signer, `CRS ${crs.crsId}`);
}

/** A key of the node with what this CLI remembers of it. */
export interface ListedItem {
  readonly id: string;
  readonly params: Params | 'unknown';
  readonly createdAt?: string;
}

/** Returns the keys or CRSs that the node holds, those generated last by this CLI at the end. */
export async function listItems(session: Session, kind: JournalEntry['kind']): Promise<ListedItem[]> {
  const material = await session.call('GetKeyMaterialAvailability', {});
  return await nameItems(session.dir, kind === 'key' ? material.fheKeyIds : material.crsIds, kind);
}

/** Says of what a node on a folder holds what this CLI knows of it; what a quorum made, it noted in its own folder. */
export async function nameItems(
  dir: string,
  held: readonly string[],
  kind: JournalEntry['kind'],
): Promise<ListedItem[]> {
  const noted = await readJournal((await quorumAround(dir))?.dir ?? dir);
  const known = noted.filter((entry) => entry.kind === kind && held.includes(entry.id));
  const others = held.filter((id) => !known.some((entry) => entry.id === id));
  return [
    ...others.map((id): ListedItem => ({ id, params: 'unknown' })),
    ...known.map(({ id, params, createdAt }): ListedItem => ({ id, params, createdAt })),
  ];
}

/**
 * Returns the id of the key to use: the one named, else the one generated last.
 *
 * @throws {@link KmsError} `NOT_FOUND` if the node has none.
 */
export async function chooseKey(session: Session, named: string | undefined): Promise<RequestId> {
  if (named !== undefined) return readId(named);
  const last = (await listItems(session, 'key')).at(-1);
  if (last !== undefined) return parseRequestId(last.id);
  throw failure('NOT_FOUND', 'the node has no key', "generate one with 'arca key generate'");
}

/** Returns what an answer says of a key. */
export function keyFacts(result: KeyGenResult): KeyFacts {
  const keyId = parseRequestId(result.requestId?.requestId ?? '', 'KeyGenResult.request_id');
  return {
    keyId,
    preprocessingId: parseRequestId(result.preprocessingId?.requestId ?? '', 'KeyGenResult.preprocessing_id'),
    objects: result.keyDigests.map(({ keyType, digest }) => ({ type: keyType, id: keyId, digest })),
    externalSignature: result.externalSignature,
  };
}

/** Returns what an answer says of a CRS. */
export function crsFacts(result: CrsGenResult): CrsFacts {
  const crsId = parseRequestId(result.requestId?.requestId ?? '', 'CrsGenResult.request_id');
  return {
    crsId,
    maxNumBits: result.maxNumBits,
    object: { type: 'CRS', id: crsId, digest: result.crsDigest },
    externalSignature: result.externalSignature,
  };
}

function signedKeyType(type: string): SignedKeyType {
  if (Object.hasOwn(KEY_DIGEST_TYPE, type)) return type as SignedKeyType; // checked on this very line
  throw failure('REQUEST_INVALID', `the node signed an object of the unknown type ${type}`, 'use a newer arca');
}

/** Reads an id of the command line. @throws {@link KmsError} with exit code 2. */
export function readId(text: string): RequestId {
  try {
    return parseRequestId(text, 'id');
  } catch {
    throw usageFailure(`'${text}' is no id`, "give 64 hexadecimal digits, not all zero; 'arca status' shows the ids");
  }
}

/** Returns what is remembered of something that is generated now. */
export function journalEntry(kind: JournalEntry['kind'], id: RequestId, params: Params): JournalEntry {
  return { kind, id, params, createdAt: new Date(systemClock.nowMs()).toISOString() };
}

/** Returns a key's facts as `--json` gives them. */
export function keyFactsJson(key: KeyFacts): object {
  return {
    keyId: key.keyId,
    preprocessingId: key.preprocessingId,
    objects: key.objects.map(({ type, digest }) => ({ type, digest: toHex(digest) })),
    externalSignature: toHex(key.externalSignature),
  };
}
