/**
 * Objects in memory, for tests and for what need not outlive a process. Same contract as the file back end.
 */
import { concatBytes, equalBytes } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';
import { abortable, contentTag, refuseAborted, toStream } from './content.ts';
import {
  checkFolder,
  checkPath,
  MAX_WHOLE_BYTES,
  movedOn,
  notFound,
  type ObjectPath,
  otherContent,
  refuseLarger,
  resolveRange,
  type Storage,
} from './storage.ts';

/** Returns an empty storage that lives as long as it is referenced. */
export function openMemoryStorage(): Storage {
  const objects = new Map<string, Uint8Array>();

  const find = (path: ObjectPath): Uint8Array => {
    const found = objects.get(keyOf(path));
    if (!found) throw notFound(path);
    return found;
  };

  const copyOf = (path: ObjectPath, maxBytes = MAX_WHOLE_BYTES): Uint8Array<ArrayBuffer> => {
    const found = find(path);
    refuseLarger(path, found.byteLength, maxBytes);
    return new Uint8Array(found);
  };

  return {
    fenced: false,
    async put(path, source, { replace = false, signal } = {}) {
      const key = keyOf(path);
      refuseFolderClash(objects, path);
      const chunks: Uint8Array[] = [];
      for await (const chunk of abortable(toStream(source), signal)) chunks.push(chunk.slice());
      const content = concatBytes(...chunks);
      const there = objects.get(key);
      if (!replace && there && equalBytes(there, content)) return 'already';
      if (!replace && there) throw otherContent(path);
      objects.set(key, content);
      return 'stored';
    },
    async get(path, maxBytes) {
      return copyOf(path, maxBytes);
    },
    async getTagged(path, maxBytes) {
      const content = copyOf(path, maxBytes);
      return { content, tag: contentTag(content) };
    },
    async swap(path, content, expected, { signal } = {}) {
      const key = keyOf(path);
      refuseFolderClash(objects, path);
      refuseAborted(signal);
      const there = objects.get(key);
      if ((there && contentTag(there)) !== expected) throw movedOn(path);
      objects.set(key, content.slice());
      return contentTag(content);
    },
    async open(path, range) {
      const content = find(path);
      const { start, end } = resolveRange(content.byteLength, range);
      return { sizeBytes: content.byteLength, stream: toStream(content.slice(start, end)) };
    },
    async has(path) {
      return objects.has(keyOf(path));
    },
    async size(path) {
      return objects.get(keyOf(path))?.byteLength;
    },
    async list(folder) {
      const start = checkFolder(folder)
        .map((segment) => `${segment}/`)
        .join('');
      const names = new Set<string>();
      for (const key of objects.keys()) {
        const name = key.startsWith(start) ? key.slice(start.length).split('/')[0] : undefined;
        if (name) names.add(name);
      }
      return [...names].sort();
    },
    async delete(path) {
      return objects.delete(keyOf(path));
    },
  };
}

function keyOf(path: ObjectPath): string {
  return checkPath(path).join('/');
}

/** A name is an object or a folder, never both, as on a file system. */
function refuseFolderClash(objects: ReadonlyMap<string, Uint8Array>, path: ObjectPath): void {
  const parents = path.slice(0, -1).map((_, index) => path.slice(0, index + 1).join('/'));
  const inside = `${path.join('/')}/`;
  if (parents.some((parent) => objects.has(parent)) || [...objects.keys()].some((key) => key.startsWith(inside))) {
    throw new KmsError('STATE_INVALID', 'a folder and an object cannot have one name', { type: path[0] ?? '' });
  }
}
