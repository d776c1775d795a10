/**
 * Public objects of the node as files, which is how the kernels load them. Whoever keeps them may have changed them: they are
 * what they should be only once their digest was compared.
 */
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import type { ObjectPath, Storage } from '../../storage/storage.ts';
import type { RequestId } from '../../wire/ids.ts';
import type { PublicDataType } from '../../wire/public-data.ts';

/** An object as a file. */
export interface PublicFile extends AsyncDisposable {
  readonly path: string;
}

/** Where public objects are had. */
export interface PublicFiles {
  /** Tells one state of an object from another, of one that is not there too. */
  stamp(type: PublicDataType, id: RequestId): Promise<string>;
  /**
   * Returns an object's file, which the caller disposes of.
   *
   * @throws KmsError `STATE_INVALID` naming an object that is not there, and what storage throws.
   */
  take(type: PublicDataType, id: RequestId): Promise<PublicFile>;
}

/** Objects that lie in files of this machine. */
export function publicFilesAt(pathOf: (type: PublicDataType, id: RequestId) => string): PublicFiles {
  return {
    stamp: async (type, id) => {
      try {
        const { dev, ino, size, ctimeNs } = await stat(pathOf(type, id), { bigint: true });
        // A change of content cannot leave the change time as it was.
        return `${dev}:${ino}:${size}:${ctimeNs}`;
      } catch (error) {
        return systemErrorCode(error) ?? 'unreadable';
      }
    },
    take: async (type, id) => ({ path: pathOf(type, id), [Symbol.asyncDispose]: async () => {} }),
  };
}

/** A vault that is opened at first need, for reading only. */
export interface ReadableVault {
  readonly storage: Pick<Storage, 'open'>;
  stamp(path: ObjectPath): Promise<string | undefined>;
}

/**
 * Objects that are fetched into a folder of this process's own each time they are needed, and removed afterwards.
 *
 * @param open - Asked until it has succeeded once.
 */
export function fetchedPublicFiles(open: () => Promise<ReadableVault>): PublicFiles {
  let opened: Promise<ReadableVault> | undefined;
  const vault = (): Promise<ReadableVault> => {
    opened ??= open().catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
  return {
    stamp: async (type, id) => (await (await vault()).stamp([type, id])) ?? 'absent',
    take: async (type, id) => {
      const { storage } = await vault();
      const { stream } = await storage.open([type, id]).catch((error: unknown) => {
        throw missing(type, id, error);
      });
      const folder = await mkdtemp(join(tmpdir(), 'arca-public-'));
      const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
      const path = join(folder, type);
      try {
        await pipeline(stream, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
      } catch (error) {
        await remove();
        throw error;
      }
      return { path, [Symbol.asyncDispose]: remove };
    },
  };
}

function missing(type: string, id: string, error: unknown): unknown {
  if (!(error instanceof KmsError) || error.code !== 'NOT_FOUND') return error;
  return new KmsError('STATE_INVALID', `public object ${type}/${id} is missing; restore it`, { type }, error);
}
