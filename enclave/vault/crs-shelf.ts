/** The CRSs that a node knows, read from the vault at start and kept in step with it. All of it is public. */
import { KmsError } from '../../common/errors.ts';
import type { RequestId } from '../../wire/ids.ts';
import { type CrsGenMetadata, decodeCrsGenMetadata, encodeCrsGenMetadata } from '../../wire/metadata.ts';
import { nameOf, readEach, requireSame } from './epoch-objects.ts';
import type { EpochScopedPath, PrivateVault } from './private-vault.ts';

/** A CRS. */
export interface HeldCrs {
  readonly epochId: RequestId;
  readonly metadata: CrsGenMetadata;
}

/** See the file comment. */
export class CrsShelf {
  readonly #held = new Map<string, HeldCrs>();

  /** Reads all of them. @throws KmsError `STATE_INVALID` naming the first that is damaged or does not belong there. */
  async load(vault: PrivateVault): Promise<void> {
    await readEach(vault, 'CrsInfo', (content, epochId, id) => {
      const metadata = decodeCrsGenMetadata(Uint8Array.from(content));
      requireSame(id, metadata.crsId);
      this.#held.set(nameOf(epochId, id), { epochId, metadata });
    });
  }

  all(): readonly HeldCrs[] {
    return [...this.#held.values()];
  }

  /** Throws `ALREADY_EXISTS` if the id is that of a CRS of the epoch. */
  requireNew(epochId: RequestId, crsId: RequestId): void {
    if (this.#held.has(nameOf(epochId, crsId))) {
      throw new KmsError('ALREADY_EXISTS', 'a CRS of this id exists already', { crsId, epochId });
    }
  }

  /** Has a CRS written with `put`, and holds it once that is durable. @throws What `put` throws. */
  async add(held: HeldCrs, put: (path: EpochScopedPath, content: Uint8Array) => Promise<void>): Promise<void> {
    const { epochId, metadata } = held;
    await put(['CrsInfo', epochId, metadata.crsId], encodeCrsGenMetadata(metadata));
    this.#held.set(nameOf(epochId, metadata.crsId), held);
  }

  /** Forgets those of an epoch; the vault keeps them. */
  forgetEpoch(epochId: RequestId): void {
    for (const [name, held] of this.#held) if (held.epochId === epochId) this.#held.delete(name);
  }

  clear(): void {
    this.#held.clear();
  }
}
