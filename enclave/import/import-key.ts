/**
 * Brings a whole client key of another system into one centralized node, or splits it among all parties of a quorum.
 *
 * The process that does this sees the whole key: it is a dealer, and what it writes says so (`imported`). All is checked
 * before anything is written; what a failed import wrote, it takes back. Operators: docs/operators/import.md.
 */
import { KmsError } from '../../common/errors.ts';
import { type FheKey, type KeyLayout, type KeyShares, keccak256, splitKey } from '../../native/engine/index.ts';
import type { ObjectPath, Storage } from '../../storage/storage.ts';
import type { Domain } from '../../wire/eip712.ts';
import { DEFAULT_CONTEXT_ID, deriveRequestId, idFromBytes, type RequestId } from '../../wire/ids.ts';
import { encodeKeyGenMetadata, type KeyGenMetadata } from '../../wire/metadata.ts';
import type { ObjectDigest } from '../../wire/signed-payloads.ts';
import { AnswerSigner } from '../sign/answer-signer.ts';
import { signKeySet } from '../sign/results.ts';
import { type ImportTarget, openSigningKey, type QuorumShape, requireTargets } from './import-target.ts';
import {
  type KeyMaterial,
  type Material,
  type MaterialFiles,
  materialOfFiles,
  newMaterial,
} from './public-material.ts';
import { readWholeKey } from './whole-key.ts';

/** What is imported. */
export interface ImportOptions {
  /** Safe serialization of the client key. The caller wipes it. */
  readonly clientKey: Uint8Array;
  /** Its public objects; or how new ones are laid out that are made for it. */
  readonly material: MaterialFiles | KeyLayout;
  /** Default: the tag of the key, if that is an id. */
  readonly keyId?: RequestId | undefined;
  readonly epochId: RequestId;
  /** What the nodes sign the key under. */
  readonly domain: Domain;
  readonly extraData: Uint8Array;
  /** All parties of one quorum, or one centralized node. */
  readonly targets: readonly ImportTarget[];
  /** Told of each step, for people. */
  readonly onStep: (step: ImportStep) => void;
}

/** Steps of an import, in order. */
export type ImportStep = 'reading' | 'checking' | 'generating' | 'publishing' | 'storing';

/** What was imported. */
export interface Imported {
  readonly keyId: RequestId;
  readonly params: 'default' | 'test';
  readonly objects: readonly ObjectDigest[];
  /** How many parties have shares; 0 if one centralized node has the whole key. */
  readonly parties: number;
  /** Whether the public objects bear another tag than the key's id. */
  readonly foreignTag: boolean;
}

/** A private object that is to be written, with its plain content. Secret. */
interface Sealed {
  readonly target: ImportTarget;
  readonly path: readonly ['FhePrivateKey' | 'FheKeyInfo', RequestId, RequestId];
  readonly encode: (metadata: Uint8Array) => Uint8Array;
}

/** What takes back what was written, newest first. */
type Undo = (() => Promise<unknown>)[];

/**
 * See the file comment.
 *
 * @throws KmsError `KEY_INVALID` for a file that is no client key, or public objects that are not its own;
 *   `REQUEST_INVALID` without an id; `ALREADY_EXISTS`, `PRECONDITION_FAILED`, `STATE_INVALID` for nodes that cannot take
 *   it.
 */
export async function importKey(options: ImportOptions): Promise<Imported> {
  const { clientKey, epochId, targets, material, onStep } = options;
  onStep('reading');
  using whole = readWholeKey(clientKey);
  const keyId = options.keyId ?? idOfTag(whole.tag);
  const quorum = await requireTargets(targets, epochId, keyId);
  onStep(typeof material === 'string' ? 'generating' : 'checking');
  const made =
    typeof material === 'string' ? await newMaterial(whole, keyId, material) : await materialOfFiles(material, whole);
  const undo: Undo = [];
  try {
    onStep('publishing');
    for (const target of targets) await publish(target.publicVault, made, keyId, undo);
    onStep('storing');
    await store(options, { keyId, quorum, made }, undo);
    const objects = made.objects.map(({ type, digest }) => ({ type, digest }));
    const { params, tag } = made.key;
    return { keyId, params, objects, parties: quorum?.n ?? 0, foreignTag: !isTagOf(tag, keyId) };
  } catch (error) {
    // Each is tried, whatever becomes of the others: what stays behind is named by the next import of this id.
    for (const takeBack of undo.reverse()) await takeBack().catch(() => undefined);
    throw error;
  } finally {
    made.dispose();
  }
}

async function publish(storage: Storage, { objects }: KeyMaterial, keyId: RequestId, undo: Undo): Promise<void> {
  for (const object of objects) await put(storage, [object.type, keyId], object, undo);
}

async function put(storage: Storage, path: ObjectPath, object: Material, undo: Undo): Promise<void> {
  if ((await storage.put(path, object.bytes())) === 'stored') undo.push(() => storage.delete(path));
}

/** Signs at each node what it publishes, and writes its private object, which makes the key real there. */
async function store(
  { epochId, domain, extraData, targets }: ImportOptions,
  { keyId, quorum, made }: { keyId: RequestId; quorum: QuorumShape | undefined; made: KeyMaterial },
  undo: Undo,
): Promise<void> {
  const keyDigests = made.objects.map(({ type, digest }) => ({ type, digest }));
  const contextId = quorum?.contextId ?? DEFAULT_CONTEXT_ID;
  const request = { requestId: keyId, contextId, epochId, domain, extraData, signingSchemes: [] };
  const preprocessingId = deriveRequestId(`arca import ${keyId}`);
  const shares = quorum ? splitKey({ key: made.key, n: quorum.n, t: quorum.t, provenance: 'imported' }) : [];
  try {
    for (const target of targets) {
      using nodeKey = await openSigningKey(target);
      const signer = new AnswerSigner(nodeKey, keccak256);
      const metadata = signKeySet(signer, { request, keyId, preprocessingId, keyDigests });
      await seal(sealedOf(target, { epochId, keyId, key: made.key, shares }), metadata, undo);
    }
  } finally {
    for (const share of shares) share.dispose();
  }
}

function sealedOf(
  target: ImportTarget,
  of: { epochId: RequestId; keyId: RequestId; key: FheKey; shares: readonly KeyShares[] },
): Sealed {
  const { epochId, keyId, key, shares } = of;
  if (!target.threshold) {
    return { target, path: ['FhePrivateKey', epochId, keyId], encode: (metadata) => key.encode(metadata) };
  }
  const own = shares.find(({ party }) => party === target.party);
  if (!own) throw new KmsError('INTERNAL', 'a party has no shares', { party: target.party });
  return { target, path: ['FheKeyInfo', epochId, keyId], encode: (metadata) => own.encode(metadata) };
}

async function seal({ target, path, encode }: Sealed, metadata: KeyGenMetadata, undo: Undo): Promise<void> {
  const encoded = encode(encodeKeyGenMetadata(metadata));
  try {
    await target.vault.put(path, encoded);
    undo.push(() => target.vault.delete(path));
  } finally {
    encoded.fill(0);
  }
}

function idOfTag(tag: Uint8Array): RequestId {
  try {
    return idFromBytes(tag);
  } catch (error) {
    const message = 'the tag of the client key is no id: say which id the key is to have';
    throw new KmsError('REQUEST_INVALID', message, { field: 'key_id' }, error);
  }
}

function isTagOf(tag: Uint8Array, keyId: RequestId): boolean {
  return Buffer.from(tag).toString('hex') === keyId;
}
