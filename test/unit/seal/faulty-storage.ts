/**
 * A storage between one server and what it shares with others: calls fail before or after their effect, streams break, end
 * early, come byte by byte or with a bit changed, an older state of the head comes back, the server dies.
 */
import { KmsError } from '../../../common/errors.ts';
import type { ObjectPath, OpenedObject, Storage, TaggedObject } from '../../../storage/storage.ts';

/** How far one server is from its storage. */
export interface Weather {
  /** Faults in a hundred calls. */
  rate: number;
  /** Returns a number from 0 to below the limit. */
  readonly below: (limit: number) => number;
}

/** The server died: nothing that it would have done next is done. */
export class Died extends Error {}

/** Returns the storage as one server sees it. */
export function faultyStorage(shared: Storage, weather: Weather) {
  const { below } = weather;
  const states: TaggedObject[] = [];
  let died = false;

  /** Runs a call that has one effect. */
  const call = async <T>(run: () => Promise<T>): Promise<T> => {
    if (died) throw new Died();
    if (below(100) >= weather.rate) return await run();
    const kind = below(8);
    if (kind < 3) throw unavailable();
    if (kind < 6) {
      await run();
      throw unavailable();
    }
    died = true;
    if (kind === 7) await run();
    throw new Died();
  };

  return {
    fenced: shared.fenced,
    get died() {
      return died;
    },
    put: (...args: Parameters<Storage['put']>) => {
      const [path, source, options] = args;
      const stream = source instanceof Uint8Array ? [source] : source;
      return call(() => shared.put(path, interrupted(stream, weather), options));
    },
    delete: (path: ObjectPath) => call(() => shared.delete(path)),
    list: (path: ObjectPath) => call(() => shared.list(path)),
    swap: (...args: Parameters<Storage['swap']>) => call(() => shared.swap(...args)),
    async getTagged(path: ObjectPath): Promise<TaggedObject> {
      const found = await call(() => shared.getTagged(path));
      states.push({ content: found.content.slice(), tag: found.tag });
      if (below(100) >= weather.rate) return found;
      const old = states[below(states.length)];
      if (below(2) === 0 && old !== undefined) return { content: old.content.slice(), tag: old.tag };
      flipBit(found.content, below);
      return found;
    },
    async open(path: ObjectPath): Promise<OpenedObject> {
      const { sizeBytes, stream } = await call(() => shared.open(path));
      return { sizeBytes, stream: below(100) < weather.rate ? spoiled(stream, sizeBytes, below) : stream };
    },
  };
}

const unavailable = (): KmsError => new KmsError('UNAVAILABLE', 'the storage does not answer');

/** What a server sends may stop on its way; then nothing of it is stored. */
async function* interrupted(
  stream: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { rate, below }: Weather,
): AsyncGenerator<Uint8Array, void> {
  for await (const piece of stream) {
    if (below(1000) < rate) throw unavailable();
    yield piece;
  }
}

async function* spoiled(
  stream: AsyncIterable<Uint8Array>,
  sizeBytes: number,
  below: (limit: number) => number,
): AsyncGenerator<Uint8Array, void> {
  const kind = below(4);
  const spot = below(sizeBytes);
  let at = 0;
  for await (const piece of stream) {
    const here = spot - at;
    at += piece.length;
    if (kind === 3 && piece.length < 2000) {
      for (const byte of piece) yield Uint8Array.of(byte);
      continue;
    }
    if (here < 0 || here >= piece.length || kind === 3) {
      yield piece;
      continue;
    }
    if (kind === 0) {
      const changed = piece.slice();
      changed[here] = (changed[here] ?? 0) ^ (1 << below(8));
      yield changed;
      continue;
    }
    yield piece.subarray(0, here);
    if (kind === 1) return;
    throw unavailable();
  }
}

function flipBit(bytes: Uint8Array, below: (limit: number) => number): void {
  const at = below(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
}
