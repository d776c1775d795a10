/**
 * Sealed objects in a storage under a manifest: each writing lies in a place of its own and is never overwritten; the manifest
 * says which one counts. SECRET: content passes through.
 *
 * What a crash or a lost race leaves behind is a writing that no manifest names; it goes with the next writing of that object.
 * Spec: docs/formats/manifest.md.
 */
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import type { ObjectPath, Storage } from '../../storage/storage.ts';
import { Turns } from '../../storage/turns.ts';
import type { ManifestEntry, ObjectWriting } from './manifest.ts';
import type { ManifestHead } from './manifest-head.ts';
import type { ExpectedObject, ObjectClaims } from './object-claims.ts';
import { openObject } from './open-object.ts';
import { type SealedSummary, type Sealer, type SealOptions, sealObject } from './seal-object.ts';
import type { SealedHead } from './sealed-head.ts';

/** What a store is made of. */
export interface SealedStoreParts {
  readonly storage: Pick<Storage, 'put' | 'open' | 'delete' | 'list'>;
  readonly head: Pick<ManifestHead, 'entry' | 'nextVersion' | 'advance'>;
  readonly sealer: Sealer;
  /** Told of what could not be removed; it counts for nobody, and only takes room. */
  readonly onLeftover: (path: ObjectPath, error: unknown) => void;
}

/** Which object; versions and signer are the store's own affair. */
export type StoredObject = Omit<ObjectClaims, 'version'>;

/** Settings of one writing. */
export interface StoreOptions extends Omit<SealOptions, 'onSealed'> {
  /** A later version than that of the manifest's entry; the next if absent. */
  readonly version?: number | undefined;
}

const PLACE_BYTES = 8;
const PLACE = /^(\d{1,15})-[0-9a-f]{16}$/;

/** See the file comment. */
export class SealedStore {
  readonly #parts: SealedStoreParts;
  /** Writers of one name come one after the other. */
  readonly #turns = new Turns();

  constructor(parts: SealedStoreParts) {
    this.#parts = parts;
  }

  /** Returns whether the manifest names such an object. */
  has(name: string): boolean {
    return this.#parts.head.entry(name)?.writing !== undefined;
  }

  /**
   * Writes an object, in the place of what the manifest names under it; durable, and the one that counts, once this returns.
   *
   * @throws KmsError `ABORTED` if another server took over (what was written then counts for nobody); what sealing,
   *   storage and {@link ManifestHead.advance} throw.
   */
  async put(object: StoredObject, content: AsyncIterable<Uint8Array>, options: StoreOptions = {}): Promise<void> {
    await this.#turns.run(object.name, () => this.#put(object, content, options));
  }

  /**
   * Writes an object again as it is, under a new data key of what the keyring seals under now.
   *
   * @throws KmsError as {@link read} and {@link put}; the writing before then still counts.
   */
  async reseal(object: StoredObject, signal?: AbortSignal): Promise<void> {
    const again = (content: AsyncIterable<Uint8Array>, { sizeBytes, compression }: SealedHead): Promise<void> => {
      const known = { ...(sizeBytes !== undefined && { sizeBytes }), ...(signal && { signal }) };
      return this.#put(object, content, { ...known, compressible: compression !== 'none' });
    };
    await this.#turns.run(object.name, () => this.read(object, again, signal));
  }

  async #put(
    object: StoredObject,
    content: AsyncIterable<Uint8Array>,
    { version: asked, ...options }: StoreOptions,
  ): Promise<void> {
    const { storage, head, sealer } = this.#parts;
    const { random = systemRandom } = sealer;
    const before = head.entry(object.name)?.writing;
    const version = asked ?? head.nextVersion(object.name);
    const place = `${version}-${toHex(random(PLACE_BYTES))}`;
    let summary: SealedSummary | undefined;
    const onSealed = (sealed: SealedSummary): void => {
      summary = sealed;
    };
    const stream = sealObject({ ...object, version }, content, sealer, { ...options, onSealed });
    const { signal } = options;
    await storage.put(pathOf(object.name, place), stream, { ...(signal && { signal }) });
    if (summary === undefined) throw new KmsError('INTERNAL', 'storage did not take all of a sealed object');
    const entry: ManifestEntry = { version, writing: { place, ...summary } };
    await head.advance(new Map([[object.name, entry]]));
    await this.#tidy(object.name, entry, before);
  }

  /**
   * Opens the writing that the manifest names, and no other; as {@link openObject}.
   *
   * @throws KmsError `NOT_FOUND` for an object that the manifest does not name; `STATE_INVALID` with fact `fault`.
   */
  async read<T>(
    object: StoredObject,
    use: (content: AsyncIterable<Uint8Array>, head: SealedHead) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const { storage, head, sealer } = this.#parts;
    const { version, writing } = head.entry(object.name) ?? {};
    if (version === undefined || writing === undefined) throw notNamed(object.name);
    const { stream } = await storage.open(pathOf(object.name, writing.place));
    const signer = sealer.signer.publicKey;
    const asked: ExpectedObject = { ...object, signer, notBefore: version, digest: writing.digest };
    return await openObject(stream, asked, { keyring: sealer.keyring, ...(signal && { signal }) }, use);
  }

  /**
   * Removes an object: first from the manifest, which keeps its version, then from storage.
   *
   * @throws KmsError `NOT_FOUND` for an object that the manifest does not name; as {@link ManifestHead.advance}.
   */
  async delete(name: string): Promise<void> {
    await this.#turns.run(name, () => this.#delete(name));
  }

  async #delete(name: string): Promise<void> {
    const { head } = this.#parts;
    const before = head.entry(name)?.writing;
    if (before === undefined) throw notNamed(name);
    const entry: ManifestEntry = { version: head.nextVersion(name), writing: undefined };
    await head.advance(new Map([[name, entry]]));
    await this.#tidy(name, entry, before);
  }

  /**
   * Removes the writing before, and what crashes have left of this object. A writing of a later version than the manifest's stays:
   * another server may be about to name it, or an older manifest has been put in the place of one that did.
   */
  async #tidy(name: string, { version, writing }: ManifestEntry, before: ObjectWriting | undefined): Promise<void> {
    const { storage, onLeftover } = this.#parts;
    const folder = name.split('/');
    // The write is done and cannot be taken back: that any of this fails is no failure of it.
    const listed = await storage.list(folder).catch((error: unknown) => {
      onLeftover(folder, error);
      return [];
    });
    const overtaken = listed.filter((place) => place !== writing?.place && isOvertaken(place, version));
    for (const place of new Set([...(before ? [before.place] : []), ...overtaken])) {
      const path = pathOf(name, place);
      await storage.delete(path).catch((error: unknown) => onLeftover(path, error));
    }
  }
}

function isOvertaken(place: string, version: number): boolean {
  const [, written] = PLACE.exec(place) ?? [];
  return written !== undefined && Number(written) <= version;
}

function pathOf(name: string, place: string): ObjectPath {
  return [...name.split('/'), place];
}

function notNamed(name: string): KmsError {
  return new KmsError('NOT_FOUND', 'the manifest names no such object', { object: name });
}
