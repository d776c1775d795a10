/**
 * The keychain of developer mode: objects lie in clear, as developers want to read them.
 *
 * Nothing is secret from whoever can read the file. Each object still carries a digest over its path and content, so
 * that one that was cut, changed or moved is refused by name. Format: docs/formats/private-objects.md.
 */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { ObjectPath, Storage } from '../../storage/storage.ts';
import { u64le } from '../../wire/hash.ts';
import { decodeSafe, encodeSafe } from '../../wire/safe-serialize.ts';
import type { ObjectKeeper } from './object-keeper.ts';

const TYPE_NAME = 'arca::ClearObject';
const VERSION = 0;
const DIGEST_BYTES = 32;
/** Our own tag: no published hash begins with it. */
const TAG = 'ARCA_OBJ';

/** Makes and reads the files. */
export const clearKeychain = {
  name: 'clear',
  /** Returns the bytes to store. */
  seal: (path: ObjectPath, content: Uint8Array): Uint8Array =>
    encodeSafe(TYPE_NAME, 4 + 8 + content.byteLength + 8 + DIGEST_BYTES, (writer) =>
      writer.u32(VERSION).vec(content).vec(digestOf(path, content)),
    ),
  /** Returns the content in an ArrayBuffer of its own. @throws KmsError `STATE_INVALID`, `REQUEST_INVALID`. */
  open: (path: ObjectPath, sealed: Uint8Array): Uint8Array =>
    decodeSafe(sealed, TYPE_NAME, (reader) => {
      reader.expectU32(VERSION, 'ClearObject version');
      const content = reader.vec();
      if (!equalBytes(reader.vec(), digestOf(path, content))) {
        throw new KmsError('STATE_INVALID', 'its content is not what was stored under this name');
      }
      return Uint8Array.from(content);
    }),
};

/** See the file comment. Named by main-dev.ts alone. */
export function clearKeeper(storage: Storage): ObjectKeeper {
  return {
    name: clearKeychain.name,
    put: async (path, content, replace) => {
      const stored = clearKeychain.seal(path, content);
      try {
        await storage.put(path, stored, { replace });
      } finally {
        stored.fill(0);
      }
    },
    has: (path) => storage.has(path),
    open: async (path) => {
      const stored = await storage.get(path);
      try {
        return clearKeychain.open(path, stored);
      } finally {
        stored.fill(0);
      }
    },
    list: (folder) => storage.list(folder),
    delete: (path) => storage.delete(path),
  };
}

function digestOf(path: ObjectPath, content: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(path.join('/'));
  const hash = createHash('shake256', { outputLength: DIGEST_BYTES });
  return hash.update(TAG).update(u64le(name.byteLength)).update(name).update(content).digest();
}
