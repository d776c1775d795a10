/**
 * Keeps private objects sealed under a manifest: what counts is what the manifest names, so that is what is listed.
 *
 * SECRET: contents pass through, in buffers of their own. Formats: docs/formats/{sealed-object,manifest}.md.
 */
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { Turns } from '../../storage/turns.ts';
import type { ManifestOwner } from '../seal/manifest.ts';
import type { ManifestHead } from '../seal/manifest-head.ts';
import type { SealedStore } from '../seal/sealed-store.ts';
import type { ObjectKeeper } from './object-keeper.ts';
import type { PrivatePath } from './private-vault.ts';
import { storedObject } from './stored-object.ts';

/** What a keeper is made of. */
export interface SealedKeeperParts {
  /** Name of the keychain. */
  readonly name: string;
  readonly head: Pick<ManifestHead, 'entries' | 'entry'>;
  readonly store: SealedStore;
  readonly owner: ManifestOwner;
}

/** Kinds with nothing secret in them; the compressed size of a secret tells about it. */
const COMPRESSIBLE: ReadonlySet<string> = new Set(['CACert', 'Governance', 'CrsInfo', 'DecompressionKeyInfo']);
/** Most bytes that a buffer holds here; shares of one key have some hundred million. */
const MAX_CONTENT_BYTES = 2 ** 32 - 1;

/** See the file comment. */
export function sealedKeeper({ name, head, store, owner }: SealedKeeperParts): ObjectKeeper {
  const turns = new Turns();
  const open = async (path: PrivatePath): Promise<Uint8Array> => {
    const object = path.join('/');
    const before = head.entry(object)?.writing;
    try {
      return await store.read(storedObject(path, owner), (content, { sizeBytes }) => whole(content, sizeBytes));
    } catch (error) {
      if (!isKmsError(error, 'NOT_FOUND') || before === undefined) throw error;
      // Replaced while it was opened: its place is empty, and the manifest names the next.
      if (head.entry(object)?.writing !== before) return await open(path);
      const message = 'the manifest names it, but it is not there';
      throw new KmsError('STATE_INVALID', message, { object, fault: 'missing' }, error);
    }
  };

  /** Returns whether the object is there with this content. */
  const isThere = async (path: PrivatePath, content: Uint8Array): Promise<boolean> => {
    if (!store.has(path.join('/'))) return false;
    const found = await open(path);
    try {
      if (equalBytes(found, content)) return true;
    } finally {
      found.fill(0);
    }
    throw new KmsError('ALREADY_EXISTS', 'an object of other content is already there', { type: path[0] });
  };

  return {
    name,
    open,
    has: async (path) => store.has(path.join('/')),
    put: (path, content, replace) =>
      turns.run(path.join('/'), async () => {
        if (!replace && (await isThere(path, content))) return;
        const options = { sizeBytes: content.byteLength, compressible: COMPRESSIBLE.has(path[0]) };
        await store.put(storedObject(path, owner), single(content), options);
      }),
    list: async (folder) => {
      const below = folder.map((segment) => `${segment}/`).join('');
      const names = new Set<string>();
      for (const [object, { writing }] of head.entries()) {
        if (writing === undefined || !object.startsWith(below)) continue;
        names.add(object.slice(below.length).split('/')[0] ?? '');
      }
      return [...names].sort();
    },
    delete: (path) =>
      turns.run(path.join('/'), async () => {
        try {
          await store.delete(path.join('/'));
          return true;
        } catch (error) {
          if (isKmsError(error, 'NOT_FOUND')) return false;
          throw error;
        }
      }),
  };
}

async function* single(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content;
}

/** Collects a content whose size its signed head says. */
async function whole(content: AsyncIterable<Uint8Array>, sizeBytes: number | undefined): Promise<Uint8Array> {
  if (sizeBytes === undefined || sizeBytes > MAX_CONTENT_BYTES) {
    throw new KmsError('STATE_INVALID', 'it is larger than may be held in memory, or of unknown size');
  }
  const all = new Uint8Array(sizeBytes);
  try {
    let at = 0;
    for await (const piece of content) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  } catch (error) {
    all.fill(0);
    throw error;
  }
}
