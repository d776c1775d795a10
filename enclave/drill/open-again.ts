/**
 * Opens everything of a restored vault as an engine does that starts from it: governance, keys or key shares, contexts and
 * epochs, and compares what keys and CRSs say of their public objects with the objects. No other party is spoken to.
 *
 * SECRET: keys, shares and mask keys, on their way into native memory, where they end with the drill.
 */
import type { Charter } from '../../attestation/governance/index.ts';
import { equalBytes } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { FheKey, KeyShares, MaskKeys } from '../../native/engine/index.ts';
import type { Storage } from '../../storage/storage.ts';
import { DomainHasher, HASH_TAG } from '../../wire/hash.ts';
import type { CrsGenMetadata, KeyGenMetadata } from '../../wire/metadata.ts';
import { ContextBook } from '../contexts/context-book.ts';
import { readEpoch } from '../contexts/epoch-book.ts';
import { openGovernanceMemory } from '../governance/governance-memory.ts';
import { ShareCatalogue } from '../keys/share-catalogue.ts';
import { Catalogue } from '../vault/catalogue.ts';
import type { PrivateVault } from '../vault/private-vault.ts';

/** What is opened. */
export interface RestoredNode {
  readonly vault: PrivateVault;
  readonly charter: Charter;
  /** Whether it is one party of a quorum. */
  readonly isParty: boolean;
  /** The public vault, which is read only. */
  readonly published: Pick<Storage, 'open'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a vault holds. */
interface Held {
  readonly keys: readonly { readonly metadata: KeyGenMetadata }[];
  readonly crs: readonly { readonly metadata: CrsGenMetadata }[];
}

/** How much was opened and compared. */
export interface OpenedAgain {
  readonly keys: number;
  readonly epochs: number;
  readonly publicObjects: number;
}

/**
 * See the file comment.
 *
 * @throws KmsError `STATE_INVALID` naming the private object that cannot be used, or every public object that is not the one
 *   that was signed.
 */
export async function openAgain(node: RestoredNode): Promise<OpenedAgain> {
  const { vault, isParty, published } = node;
  const epochs = isParty ? await openEpochs(node) : 0;
  const { keys, crs } = await (isParty ? openShares(node) : openKeys(vault));
  const publicObjects = await comparePublished({ keys, crs }, published);
  return { keys: keys.length, epochs, publicObjects };
}

async function openKeys(vault: PrivateVault): Promise<Held> {
  const catalogue = await Catalogue.load(vault, { fromBytes: FheKey.fromBytes, developerKeys: true });
  try {
    return { keys: catalogue.keys(), crs: catalogue.crs() };
  } finally {
    catalogue.dispose();
  }
}

async function openShares({ vault, charter: { party } }: RestoredNode): Promise<Held> {
  const catalogue = await ShareCatalogue.load(vault, { fromBytes: KeyShares.fromBytes, developerKeys: true, party });
  try {
    return { keys: catalogue.keys(), crs: catalogue.crs() };
  } finally {
    catalogue.dispose();
  }
}

async function openEpochs({ vault, charter, clock, log }: RestoredNode): Promise<number> {
  const governance = await openGovernanceMemory({ vault, charter, holdWrites: true, clock, log });
  try {
    const contexts = await ContextBook.load(vault, governance.book);
    const ids = await vault.listNode('EpochData');
    for (const id of ids) {
      await vault.read(['EpochData', id], (content) => MaskKeys.fromKeys(readEpoch(content, contexts).data).dispose());
    }
    return ids.length;
  } finally {
    await governance.close();
  }
}

async function comparePublished({ keys, crs }: Held, published: RestoredNode['published']): Promise<number> {
  const expected = [
    ...keys.flatMap(({ metadata: { keyId: id, keyDigests } }) => keyDigests.map((object) => ({ ...object, id }))),
    ...crs.map(({ metadata: { crsId: id, crsDigest: digest } }) => ({ type: 'CRS' as const, id, digest })),
  ];
  const wrong: string[] = [];
  for (const { type, id, digest } of expected) {
    const tag = type === 'CRS' ? HASH_TAG.crs : HASH_TAG.key;
    const found = await digestOf(published, [type, id], new DomainHasher(tag));
    if (found === undefined) wrong.push(`${type}/${id} is missing`);
    else if (!equalBytes(found, digest)) wrong.push(`${type}/${id} is not the one that was signed`);
  }
  if (wrong.length === 0) return expected.length;
  throw new KmsError('STATE_INVALID', `the vault is restored, but of its public objects: ${wrong.join('; ')}`);
}

async function digestOf(
  published: RestoredNode['published'],
  path: readonly string[],
  hasher: DomainHasher,
): Promise<Uint8Array | undefined> {
  try {
    const { stream } = await published.open(path);
    for await (const piece of stream) hasher.update(piece);
    return hasher.digest();
  } catch (error) {
    if (isKmsError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}
