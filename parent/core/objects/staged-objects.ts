/**
 * Objects that a generation makes for an older key: they take their places once it is committed, and not before. An
 * engine that dies in between leaves what was there, where the old signature still vouches for it.
 *
 * They wait in public storage under a name that is no public address: `Staged/<generation>/<Type>/<id>`.
 */
import type { ObjectPath, Storage } from '../../../storage/storage.ts';
import { startPublicDigest } from './public-digest.ts';
import type { PublicObjects } from './public-objects.ts';

const FOLDER = 'Staged';

/** Returns where an object waits for its generation. */
export function stagedPath(generationId: string, type: string, id: string): ObjectPath {
  return [FOLDER, generationId, type, id];
}

/** Returns the generations that have objects waiting. */
export function stagedGenerations(storage: Storage): Promise<string[]> {
  return storage.list([FOLDER]);
}

/** Puts the waiting objects of a committed generation into their places. May be repeated after a crash. */
export async function promoteStaged(storage: Storage, objects: PublicObjects, generationId: string): Promise<void> {
  for (const [type, id] of await waiting(storage, generationId)) {
    const digest = startPublicDigest(type);
    const { stream } = await storage.open(stagedPath(generationId, type, id));
    await storage.put([type, id], digested(stream, digest), { replace: true });
    await objects.remember(type, id, digest.digest());
    await storage.delete(stagedPath(generationId, type, id));
  }
}

/** Removes the waiting objects of a generation that came to nothing. */
export async function removeStaged(storage: Storage, generationId: string): Promise<void> {
  for (const [type, id] of await waiting(storage, generationId)) {
    await storage.delete(stagedPath(generationId, type, id));
  }
}

async function waiting(storage: Storage, generationId: string): Promise<(readonly [type: string, id: string])[]> {
  const found: (readonly [string, string])[] = [];
  for (const type of await storage.list([FOLDER, generationId])) {
    for (const id of await storage.list([FOLDER, generationId, type])) found.push([type, id]);
  }
  return found;
}

async function* digested(
  stream: AsyncIterable<Uint8Array>,
  digest: ReturnType<typeof startPublicDigest>,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    digest.update(chunk);
    yield chunk;
  }
}
