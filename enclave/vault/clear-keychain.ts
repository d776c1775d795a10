/**
 * The keychain of developer mode: objects lie in clear, as developers want to read them.
 *
 * Nothing is secret from whoever can read the file. Each object still carries a digest over its path and content, so
 * that one that was cut, changed or moved is refused by name. Format: docs/formats/private-objects.md.
 */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { ObjectPath } from '../../storage/storage.ts';
import { u64le } from '../../wire/hash.ts';
import { decodeSafe, encodeSafe } from '../../wire/safe-serialize.ts';
import type { Keychain } from './keychain.ts';

const TYPE_NAME = 'arca::ClearObject';
const VERSION = 0;
const DIGEST_BYTES = 32;
/** Our own tag: no published hash begins with it. */
const TAG = 'ARCA_OBJ';

/** See the file comment. Named by main-dev.ts and main-import-dev.ts alone. */
export const clearKeychain: Keychain = {
  name: 'clear',
  seal: async (path, content) =>
    encodeSafe(TYPE_NAME, 4 + 8 + content.byteLength + 8 + DIGEST_BYTES, (writer) =>
      writer.u32(VERSION).vec(content).vec(digestOf(path, content)),
    ),
  open: async (path, sealed) =>
    decodeSafe(sealed, TYPE_NAME, (reader) => {
      reader.expectU32(VERSION, 'ClearObject version');
      const content = reader.vec();
      if (!equalBytes(reader.vec(), digestOf(path, content))) {
        throw new KmsError('STATE_INVALID', 'its content is not what was stored under this name');
      }
      return Uint8Array.from(content);
    }),
};

function digestOf(path: ObjectPath, content: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(path.join('/'));
  const hash = createHash('shake256', { outputLength: DIGEST_BYTES });
  return hash.update(TAG).update(u64le(name.byteLength)).update(name).update(content).digest();
}
