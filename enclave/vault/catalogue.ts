/**
 * What this engine holds: keys, decompression keys and CRSs, read from the vault at start and kept in step with it.
 *
 * FHE keys stay in native memory behind handles; metadata is public. A key is looked up by epoch and id.
 */
import { KmsError } from '../../common/errors.ts';
import type { FheKey, ParamsName } from '../../native/engine/index.ts';
import type { RequestId } from '../../wire/ids.ts';
import { decodeKeyGenMetadata, encodeKeyGenMetadata, type KeyGenMetadata } from '../../wire/metadata.ts';
import { CrsShelf, type HeldCrs } from './crs-shelf.ts';
import { decodeDecompressionKeyInfo, encodeDecompressionKeyInfo } from './decompression-key-info.ts';
import { invalid, nameOf, readEach, requireSame } from './epoch-objects.ts';
import type { PrivateVault } from './private-vault.ts';

/** A key set, or a decompression key, of which the secret is not kept (`key` is absent then). */
export interface HeldKey {
  readonly epochId: RequestId;
  readonly params: ParamsName;
  readonly metadata: KeyGenMetadata;
  readonly key?: FheKey;
}

/** Reads stored keys. */
export interface KeyReader {
  readonly fromBytes: (encoded: Uint8Array) => FheKey;
  /** Whether keys that developer mode made, or that have test parameters, are taken. */
  readonly developerKeys: boolean;
}

/** See the file comment. */
export class Catalogue {
  readonly #vault: PrivateVault;
  readonly #keys = new Map<string, HeldKey>();
  readonly #crs = new CrsShelf();

  private constructor(vault: PrivateVault) {
    this.#vault = vault;
  }

  /**
   * Reads everything that the vault holds.
   *
   * @throws KmsError `STATE_INVALID` naming the first object that is damaged or does not belong there.
   */
  static async load(vault: PrivateVault, { fromBytes, developerKeys }: KeyReader): Promise<Catalogue> {
    const catalogue = new Catalogue(vault);
    await vault.checkKinds();
    await readEach(vault, 'FhePrivateKey', (content, epochId, id) => {
      const key = fromBytes(content);
      try {
        if (!developerKeys && (key.provenance === 'developer' || key.params === 'test')) {
          throw invalid('it was made in developer mode, which this node does not accept');
        }
        const metadata = decodeKeyGenMetadata(key.metadata);
        requireSame(id, metadata.keyId);
        catalogue.#keys.set(nameOf(epochId, id), { epochId, params: key.params, metadata, key });
      } catch (error) {
        key.dispose();
        throw error;
      }
    });
    await readEach(vault, 'DecompressionKeyInfo', (content, epochId, id) => {
      const { params, metadata } = decodeDecompressionKeyInfo(Uint8Array.from(content));
      requireSame(id, metadata.keyId);
      if (catalogue.#keys.has(nameOf(epochId, id))) throw invalid('its id is that of a key set too');
      catalogue.#keys.set(nameOf(epochId, id), { epochId, params, metadata });
    });
    await catalogue.#crs.load(vault);
    return catalogue;
  }

  /** All keys and decompression keys. */
  keys(): readonly HeldKey[] {
    return [...this.#keys.values()];
  }

  /** All CRSs. */
  crs(): readonly HeldCrs[] {
    return this.#crs.all();
  }

  /**
   * Returns the secret key of an epoch under an id.
   *
   * @throws KmsError `NOT_FOUND`.
   */
  key(epochId: RequestId, keyId: RequestId): FheKey {
    return this.keySet(epochId, keyId).key;
  }

  /**
   * Returns a key set with its secret key.
   *
   * @throws KmsError `NOT_FOUND`.
   */
  keySet(epochId: RequestId, keyId: RequestId): HeldKey & { readonly key: FheKey } {
    const held = this.#keys.get(nameOf(epochId, keyId));
    const key = held?.key;
    if (!held || !key) throw new KmsError('NOT_FOUND', 'no such key in this epoch', { keyId, epochId });
    return { ...held, key };
  }

  /** Throws `ALREADY_EXISTS` if the id is that of a key or decompression key of the epoch. */
  requireNewKey(epochId: RequestId, keyId: RequestId): void {
    if (this.#keys.has(nameOf(epochId, keyId))) {
      throw new KmsError('ALREADY_EXISTS', 'a key of this id exists already', { keyId, epochId });
    }
  }

  /** Throws `ALREADY_EXISTS` if the id is that of a CRS of the epoch. */
  requireNewCrs(epochId: RequestId, crsId: RequestId): void {
    this.#crs.requireNew(epochId, crsId);
  }

  /** Writes a key set and takes over its handle once it is durable. The key is real from then on. */
  async addKeySet(held: HeldKey & { readonly key: FheKey }): Promise<void> {
    await this.#putKeySet(held, false);
  }

  /** Writes other metadata for a key set that exists; its secret key stays. */
  async replaceMetadata(held: HeldKey & { readonly key: FheKey }): Promise<void> {
    await this.#putKeySet(held, true);
  }

  /** Writes what is known of a decompression key, which is real from then on. */
  async addDecompressionKey(held: Omit<HeldKey, 'key'>): Promise<void> {
    const { epochId, params, metadata } = held;
    const path = ['DecompressionKeyInfo', epochId, metadata.keyId] as const;
    await this.#vault.put(path, encodeDecompressionKeyInfo({ params, metadata }));
    this.#keys.set(nameOf(epochId, metadata.keyId), held);
  }

  /** Writes what is known of a CRS, which is real from then on. */
  async addCrs(held: HeldCrs): Promise<void> {
    await this.#crs.add(held, (path, content) => this.#vault.put(path, content));
  }

  /** Wipes all keys. Nothing can be decrypted afterwards. */
  dispose(): void {
    for (const { key } of this.#keys.values()) key?.dispose();
    this.#keys.clear();
  }

  async #putKeySet(held: HeldKey & { readonly key: FheKey }, replace: boolean): Promise<void> {
    const { epochId, metadata, key } = held;
    const encoded = key.encode(encodeKeyGenMetadata(metadata));
    try {
      await this.#vault.put(['FhePrivateKey', epochId, metadata.keyId], encoded, { replace });
    } finally {
      encoded.fill(0);
    }
    this.#keys.set(nameOf(epochId, metadata.keyId), held);
  }
}
