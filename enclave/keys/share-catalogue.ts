/**
 * What one engine of a quorum holds of key sets and CRSs, read from the vault at start and kept in step with it.
 *
 * Key shares stay in native memory behind handles; metadata is public. Shares are looked up by epoch and key id; those
 * of a destroyed epoch are erased from memory and vault.
 */
import { KmsError } from '../../common/errors.ts';
import type { KeyShares, ParamsName, ShareProvenance } from '../../native/engine/index.ts';
import type { RequestId } from '../../wire/ids.ts';
import { decodeKeyGenMetadata, encodeKeyGenMetadata, type KeyGenMetadata } from '../../wire/metadata.ts';
import { CrsShelf, type HeldCrs } from '../vault/crs-shelf.ts';
import { invalid, nameOf, readEach, requireSame } from '../vault/epoch-objects.ts';
import type { EpochScopedPath, PrivateVault } from '../vault/private-vault.ts';

/** One party's shares of a key set. */
export interface HeldShares {
  readonly epochId: RequestId;
  readonly params: ParamsName;
  readonly provenance: ShareProvenance;
  readonly metadata: KeyGenMetadata;
  /** Owned by the catalogue: wiped when it lets go of them. */
  readonly shares: KeyShares;
}

/** Reads stored shares. */
export interface ShareReader {
  readonly fromBytes: (encoded: Uint8Array) => KeyShares;
  /** Whether shares that a dealer or developer mode made, or of test parameters, are taken. */
  readonly developerKeys: boolean;
  /** This node's number, by its charter. */
  readonly party: number;
}

/** Kinds of objects that hold whole keys, or are made with them: a node of a quorum has none. */
const WHOLE_KEY_TYPES = ['FhePrivateKey', 'DecompressionKeyInfo'] as const;
/** Kinds of objects that go with their epoch. */
const ERASED_TYPES = ['FheKeyInfo', 'CrsInfo'] as const;

/** See the file comment. */
export class ShareCatalogue {
  readonly #vault: PrivateVault;
  readonly #keys = new Map<string, HeldShares>();
  readonly #crs = new CrsShelf();
  readonly #timesForgotten = new Map<RequestId, number>();
  readonly #onAdded: ((held: HeldShares) => void)[] = [];
  readonly #onForgotten: ((held: HeldShares) => void)[] = [];

  private constructor(vault: PrivateVault) {
    this.#vault = vault;
  }

  /**
   * Reads everything that the vault holds.
   *
   * @throws KmsError `STATE_INVALID` naming the first object that is damaged or does not belong there.
   */
  static async load(vault: PrivateVault, reader: ShareReader): Promise<ShareCatalogue> {
    const catalogue = new ShareCatalogue(vault);
    await vault.checkKinds();
    await refuseWholeKeys(vault);
    try {
      await readEach(vault, 'FheKeyInfo', (content, epochId, id) => {
        const shares = reader.fromBytes(content);
        try {
          catalogue.#keys.set(nameOf(epochId, id), describe(shares, reader, epochId, id));
        } catch (error) {
          shares.dispose();
          throw error;
        }
      });
      await catalogue.#crs.load(vault);
      return catalogue;
    } catch (error) {
      catalogue.dispose();
      throw error;
    }
  }

  /** All key sets. */
  keys(): readonly HeldShares[] {
    return [...this.#keys.values()];
  }

  /** All CRSs. */
  crs(): readonly HeldCrs[] {
    return this.#crs.all();
  }

  /**
   * Returns this party's shares of a key set.
   *
   * @throws KmsError `NOT_FOUND`.
   */
  shares(epochId: RequestId, keyId: RequestId): HeldShares {
    const held = this.#keys.get(nameOf(epochId, keyId));
    if (!held) throw new KmsError('NOT_FOUND', 'no such key in this epoch', { keyId, epochId });
    return held;
  }

  /** Throws `ALREADY_EXISTS` if the id is that of a key set of the epoch. */
  requireNewKey(epochId: RequestId, keyId: RequestId): void {
    if (this.#keys.has(nameOf(epochId, keyId))) {
      throw new KmsError('ALREADY_EXISTS', 'a key of this id exists already', { keyId, epochId });
    }
  }

  /** Throws `ALREADY_EXISTS` if the id is that of a CRS of the epoch. */
  requireNewCrs(epochId: RequestId, crsId: RequestId): void {
    this.#crs.requireNew(epochId, crsId);
  }

  /**
   * Writes shares and takes over their handle once they are durable. The key is real from then on.
   *
   * @throws KmsError `ALREADY_EXISTS`; `NOT_FOUND` if the epoch was destroyed meanwhile: nothing is kept then.
   */
  async addKeySet(held: HeldShares): Promise<void> {
    const { epochId, metadata, shares } = held;
    const encoded = shares.encode(encodeKeyGenMetadata(metadata));
    try {
      await this.#put(['FheKeyInfo', epochId, metadata.keyId], encoded);
    } finally {
      encoded.fill(0);
    }
    this.#keys.set(nameOf(epochId, metadata.keyId), held);
    for (const listener of this.#onAdded) listener(held);
  }

  /** Writes what is known of a CRS, which is real from then on. @throws KmsError as {@link addKeySet}. */
  async addCrs(held: HeldCrs): Promise<void> {
    await this.#crs.add(held, (path, content) => this.#put(path, content));
  }

  /**
   * Erases everything of an epoch: from memory at once, so that no share is used any more, then from the vault. What an
   * earlier attempt left behind goes, too.
   */
  async forgetEpoch(epochId: RequestId): Promise<void> {
    this.#timesForgotten.set(epochId, this.#timesForgottenOf(epochId) + 1);
    for (const [name, held] of this.#keys) if (held.epochId === epochId) this.#forget(name, held);
    this.#crs.forgetEpoch(epochId);
    for (const type of ERASED_TYPES) {
      for (const path of await this.#vault.list(type)) if (path[1] === epochId) await this.#vault.delete(path);
    }
  }

  /** Calls back when shares were added. */
  onAdded(listener: (held: HeldShares) => void): void {
    this.#onAdded.push(listener);
  }

  /** Calls back when shares are let go of, so that what was made of them goes as well. */
  onForgotten(listener: (held: HeldShares) => void): void {
    this.#onForgotten.push(listener);
  }

  /** Wipes all shares. Nothing can be decrypted afterwards. */
  dispose(): void {
    for (const [name, held] of this.#keys) this.#forget(name, held);
    this.#crs.clear();
  }

  /** An epoch may be destroyed while something of it is being written: that must not stay. */
  async #put(path: EpochScopedPath, content: Uint8Array): Promise<void> {
    const [, epochId] = path;
    const before = this.#timesForgottenOf(epochId);
    await this.#vault.put(path, content);
    if (this.#timesForgottenOf(epochId) === before) return;
    await this.#vault.delete(path);
    throw new KmsError('NOT_FOUND', 'the epoch was destroyed', { epochId });
  }

  #timesForgottenOf(epochId: RequestId): number {
    return this.#timesForgotten.get(epochId) ?? 0;
  }

  #forget(name: string, held: HeldShares): void {
    this.#keys.delete(name);
    held.shares.dispose();
    for (const listener of this.#onForgotten) listener(held);
  }
}

function describe(shares: KeyShares, reader: ShareReader, epochId: RequestId, id: RequestId): HeldShares {
  const { params, provenance, party } = shares;
  if (!reader.developerKeys && (provenance === 'dealt' || provenance === 'developer')) {
    throw invalid('a dealer or developer mode made it, which this node does not accept');
  }
  if (!reader.developerKeys && params === 'test') {
    throw invalid('it has test parameters, which this node does not accept');
  }
  if (party !== reader.party) throw invalid(`it holds shares of party ${party} and this node is party ${reader.party}`);
  const metadata = decodeKeyGenMetadata(shares.metadata);
  requireSame(id, metadata.keyId);
  return { epochId, params, provenance, metadata, shares };
}

/** A node that holds shares and a whole key could decrypt alone what is meant for a quorum. */
async function refuseWholeKeys(vault: PrivateVault): Promise<void> {
  const found = (await Promise.all(WHOLE_KEY_TYPES.map((type) => vault.list(type)))).flat();
  if (found.length === 0) return;
  const names = found.map((path) => path.join('/')).join(', ');
  throw new KmsError(
    'STATE_INVALID',
    `the private vault of this threshold node holds objects of a centralized node: ${names}; give the node a vault of its own`,
  );
}
