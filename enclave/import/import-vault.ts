/**
 * Takes over what a stopped node of the published layout holds: its signing key into a vault that has none, its keys or
 * key shares, and its CRSs. Everything is read and compared with what the node published before anything is written; what
 * a failed import wrote, it takes back.
 *
 * SECRET: the signing key. What is written says `imported` and goes through the vault of this node: no object of the other
 * layout enters it as it is. Operators: docs/operators/import.md.
 */
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { keccak256, NodeKey, type ParamsName } from '../../native/engine/index.ts';
import { formatAddress, parseAddress } from '../../wire/addresses.ts';
import type { Domain } from '../../wire/eip712.ts';
import { DEFAULT_CONTEXT_ID, type RequestId, SIGNING_KEY_ID } from '../../wire/ids.ts';
import { decodePrivateSigKey, encodePrivateSigKey } from '../../wire/signing-keys.ts';
import { decodeEpochData } from '../contexts/epoch-data.ts';
import { AnswerSigner } from '../sign/answer-signer.ts';
import { signCrs, signKeySet } from '../sign/results.ts';
import { type ForeignItem, type Resigner, readItem } from './foreign-items.ts';
import type { ShareOwner } from './foreign-keys.ts';
import type { ForeignObject, ForeignVault } from './foreign-vault.ts';
import { type ImportTarget, openSigningKey } from './import-target.ts';
import { signedBefore } from './signed-before.ts';

/** What is imported. */
export interface VaultImportOptions {
  readonly source: ForeignVault;
  /** One stopped node; a party of a quorum takes its own shares alone. */
  readonly target: ImportTarget;
  /** Where everything is put; the epoch that it has there unless given. */
  readonly epochId?: RequestId | undefined;
  /** Takes the signing key alone: a party needs it before its quorum can make the epoch that shares are put into. */
  readonly identityOnly?: boolean | undefined;
  /** What is signed anew under, where the node here has a signing key of its own. */
  readonly domain: Domain;
  /** Takes nothing but what the other node has signed under the domain, and that only if it is this node. */
  readonly onlySigned?: boolean | undefined;
  /** Told of each step, for people. */
  readonly onStep: (step: VaultImportStep) => void;
}

/** Steps of an import, in order. */
export type VaultImportStep = 'reading' | 'publishing' | 'storing';

/** What became of the signing key: taken over; the same already; or another one here, which signs anew. */
export type ImportedIdentity = 'adopted' | 'same' | 'own';

/** What was imported. */
export interface ImportedVault {
  /** Address of the node that it came from. */
  readonly address: string;
  readonly identity: ImportedIdentity;
  readonly objects: readonly (Pick<ForeignObject, 'type' | 'id' | 'epochId'> & { readonly params?: ParamsName })[];
  /** Folders of the other vault that mean nothing here. */
  readonly left: readonly string[];
}

/** What takes back what was written, newest first. */
type Undo = (() => Promise<unknown>)[];

/** Room for what editors leave behind an address. */
const MAX_ADDRESS_BYTES = 64;
const SIGNING_KEY = ['SigningKey', SIGNING_KEY_ID] as const;

/**
 * See the file comment.
 *
 * @throws KmsError `STATE_INVALID` for digests that differ and vaults that do not belong together; `ALREADY_EXISTS` naming
 *   what is here already; `PRECONDITION_FAILED` for a missing epoch; what `ForeignVault` and `readItem` throw.
 */
export async function importVault(options: VaultImportOptions): Promise<ImportedVault> {
  const { source, target, epochId, identityOnly = false, onlySigned = false, onStep } = options;
  onStep('reading');
  await target.vault.checkKinds();
  using key = await openForeignIdentity(source);
  const identity = await identityAt(target, key);
  if ((identityOnly || onlySigned) && identity === 'own') throw ownKey(target);
  const { objects, left } = identityOnly ? NOTHING : await source.list();
  const placed = objects.map((object) => ({ object, at: { ...object, epochId: epochId ?? object.epochId } }));
  await requireRoom(
    target,
    placed.map(({ at }) => at),
  );
  using own = identity === 'own' ? await openSigningKey(target) : undefined;
  const resigner = async (at: RequestId): Promise<Resigner> => {
    if (own) return signsAnew(own, { ...options, contextId: await contextAt(target, at), epochId: at });
    return onlySigned ? signedBefore(key.address, options.domain) : AS_IT_IS;
  };
  const items: { readonly item: ForeignItem; readonly at: ForeignObject }[] = [];
  const undo: Undo = [];
  try {
    for (const { object, at } of placed) {
      const owner = await ownerAt(target, at.epochId);
      items.push({ item: await readItem(source, object, owner, await resigner(at.epochId)), at });
    }
    onStep('publishing');
    for (const { item, at } of items) await publish(target, item, at, undo);
    onStep('storing');
    if (identity === 'adopted' && !target.hasAdopted) await adopt(target, key, undo);
    for (const { item, at } of items) await store(target, item, at, undo);
    return {
      address: formatAddress(key.address),
      identity,
      objects: items.map(({ item: { params }, at }) => ({ ...at, ...(params && { params }) })),
      left,
    };
  } catch (error) {
    // Each is tried, whatever becomes of the others: what stays behind is named by the next import.
    for (const takeBack of undo.reverse()) await takeBack().catch(() => undefined);
    throw error;
  } finally {
    for (const { item } of items) item.dispose();
  }
}

/** What an import of the signing key alone looks at. */
const NOTHING = { objects: [], left: [] } as const;

function ownKey({ name }: ImportTarget): KmsError {
  return new KmsError('ALREADY_EXISTS', `${name} has a signing key of its own: nothing takes its place`);
}

/** Opens the signing key and compares it with the address that the node published. The caller disposes of it. */
export async function openForeignIdentity(source: ForeignVault): Promise<NodeKey> {
  const content = await source.open(SIGNING_KEY);
  let key: NodeKey;
  try {
    key = NodeKey.fromBytes(decodePrivateSigKey(content));
  } finally {
    content.fill(0);
  }
  try {
    const published = await publishedAddress(source);
    if (equalBytes(published, key.address)) return key;
    throw new KmsError('STATE_INVALID', 'the public vault is that of another node: it has another address');
  } catch (error) {
    key.dispose();
    throw error;
  }
}

async function publishedAddress({ published }: ForeignVault): Promise<Uint8Array> {
  const text = await published.read(['VerfAddress', SIGNING_KEY_ID], MAX_ADDRESS_BYTES);
  return parseAddress(new TextDecoder().decode(text).trim(), 'VerfAddress');
}

async function identityAt(target: ImportTarget, key: NodeKey): Promise<ImportedIdentity> {
  if (await target.vault.has(SIGNING_KEY)) {
    using own = await openSigningKey(target);
    if (!equalBytes(own.address, key.address)) return 'own';
    return target.hasAdopted ? 'adopted' : 'same';
  }
  if (!(await target.vault.inUse())) return 'adopted';
  throw new KmsError('STATE_INVALID', `${target.name}: the vault holds objects but no signing key: restore it first`);
}

/** Nothing of the import may be there already, and parties need the epochs that their shares belong to. */
async function requireRoom({ name, vault, threshold }: ImportTarget, objects: readonly ForeignObject[]): Promise<void> {
  const existing: string[] = [];
  const missing = new Set<RequestId>();
  for (const { type, epochId, id } of objects) {
    if (await vault.has([type, epochId, id])) existing.push(`${type}/${epochId}/${id}`);
    if (threshold && !(await vault.has(['EpochData', epochId]))) missing.add(epochId);
  }
  if (existing.length > 0) throw new KmsError('ALREADY_EXISTS', `${name} has already: ${existing.join(', ')}`);
  if (missing.size === 0) return;
  const cure = 'start the quorum, make the epoch if it is to be another than the default, stop it; or choose the epoch';
  throw new KmsError('PRECONDITION_FAILED', `${name} has no epoch ${[...missing].join(', ')}: ${cure}`);
}

/** Whose shares this node takes under an epoch; undefined: it takes whole keys. */
async function ownerAt({ vault, threshold, party }: ImportTarget, epochId: RequestId): Promise<ShareOwner | undefined> {
  if (!threshold) return undefined;
  const { keys: _wiped, ...epoch } = await vault.read(['EpochData', epochId], decodeEpochData);
  if (epoch.party === party) return { n: epoch.n, t: epoch.t, party };
  throw new KmsError('STATE_INVALID', `party ${party} is party ${epoch.party} in the epoch ${epochId}`);
}

async function contextAt({ vault, threshold }: ImportTarget, epochId: RequestId): Promise<RequestId> {
  if (!threshold) return DEFAULT_CONTEXT_ID;
  return await vault.read(['EpochData', epochId], (content) => decodeEpochData(content).contextId);
}

async function publish({ publicVault }: ImportTarget, item: ForeignItem, at: ForeignObject, undo: Undo): Promise<void> {
  for (const { type, bytes } of item.published) {
    const path = [type, at.id];
    if ((await publicVault.put(path, bytes())) === 'stored') undo.push(() => publicVault.delete(path));
  }
}

async function adopt({ vault }: ImportTarget, key: NodeKey, undo: Undo): Promise<void> {
  const secret = key.secretBytes();
  const content = encodePrivateSigKey(secret);
  try {
    await vault.put(SIGNING_KEY, content);
    undo.push(() => vault.delete(SIGNING_KEY));
  } finally {
    secret.fill(0);
    content.fill(0);
  }
}

async function store(
  { vault }: ImportTarget,
  item: ForeignItem,
  { type, epochId, id }: ForeignObject,
  undo: Undo,
): Promise<void> {
  const content = item.encode();
  try {
    await vault.put([type, epochId, id], content);
    undo.push(() => vault.delete([type, epochId, id]));
  } finally {
    content.fill(0);
  }
}

/** The node here has the key that signed: its signatures hold. */
const AS_IT_IS: Resigner = { keySet: (metadata) => metadata, crs: (metadata) => metadata };

function signsAnew(
  key: NodeKey,
  { domain, contextId, epochId }: { domain: Domain; contextId: RequestId; epochId: RequestId },
): Resigner {
  const signer = new AnswerSigner(key, keccak256);
  const request = { contextId, epochId, domain, signingSchemes: [] };
  return {
    keySet: ({ keyId, preprocessingId, keyDigests, extraData }) =>
      signKeySet(signer, { request: { ...request, requestId: keyId, extraData }, keyId, preprocessingId, keyDigests }),
    crs: ({ crsId, extraData, ...crs }) => signCrs(signer, { ...request, requestId: crsId, extraData }, crs),
  };
}
