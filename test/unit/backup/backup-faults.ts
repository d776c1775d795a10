/** How backups and restores fail in tests, and what is read of it. */
import { isKmsError, KmsError } from '../../../common/errors.ts';
import type { Storage } from '../../../storage/storage.ts';

/** Returns the fault that a work ends with, or its code; `done` if it ends well. */
export async function faultOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (!isKmsError(error)) throw error;
    return error.facts.fault ?? error.code;
  }
}

/** Storage of a process that is killed after so many writes. */
export function dyingAfter(storage: Storage, writes: number): Storage {
  let left = writes;
  const step = (): void => {
    if (left-- <= 0) throw new KmsError('UNAVAILABLE', 'killed');
  };
  return {
    ...storage,
    put: async (...args) => {
      step();
      return await storage.put(...args);
    },
    swap: async (...args) => {
      step();
      return await storage.swap(...args);
    },
  };
}
