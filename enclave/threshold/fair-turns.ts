/**
 * Turns at the native thread pool, fairly: a request of many ciphertexts is cut into parts of bounded work, and requests
 * take turns part by part, so that one of a thousand ciphertexts does not keep one of a single ciphertext waiting.
 */
import type { CiphertextItem } from '../../native/engine/index.ts';
import { packedBlocks } from './packed-blocks.ts';

/** Most blocks of a part, unless a single ciphertext has more: about half a millisecond of work. */
const PART_BLOCKS = 64;

/** Cuts ciphertexts into parts of bounded work, in their order. */
export function partsOf(items: readonly CiphertextItem[]): readonly (readonly CiphertextItem[])[] {
  const parts: CiphertextItem[][] = [];
  let room = 0;
  for (const item of items) {
    const blocks = packedBlocks(item.fheType);
    const last = parts.at(-1);
    if (last && blocks <= room) last.push(item);
    else {
      parts.push([item]);
      room = PART_BLOCKS;
    }
    room -= blocks;
  }
  return parts;
}

/** So many parts run at a time; of those that wait, requests take turns. */
export class FairTurns {
  #free: number;
  readonly #waiting = new Map<object, (() => void)[]>();

  constructor(atATime: number) {
    this.#free = atATime;
  }

  /** Runs each of a request's parts when its turn comes, and puts their results together in their order. */
  async runAll<Part, T>(parts: readonly Part[], work: (part: Part) => Promise<readonly T[]>): Promise<T[]> {
    const caller = {};
    const results = await Promise.allSettled(parts.map((part) => this.#run(caller, () => work(part))));
    return results.flatMap((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
  }

  async #run<T>(caller: object, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else {
      const { promise, resolve } = Promise.withResolvers<void>();
      const mine = this.#waiting.get(caller);
      if (mine) mine.push(resolve);
      else this.#waiting.set(caller, [resolve]);
      await promise;
    }
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  /** Hands the turn to the caller that has waited longest since its last one. */
  #next(): void {
    const [first] = this.#waiting;
    if (!first) {
      this.#free += 1;
      return;
    }
    const [caller, mine] = first;
    this.#waiting.delete(caller);
    const turn = mine.shift();
    if (mine.length > 0) this.#waiting.set(caller, mine);
    turn?.();
  }
}
