/** How the kernel takes turns with the threads of an engine or a Core. */
import { native } from './load.ts';

interface SchedulingLibrary {
  useBatchScheduling(): number;
}

const library = native<SchedulingLibrary>(['useBatchScheduling']);

/**
 * Puts this process under `SCHED_BATCH`: a thread that wakes up waits until another's turn is over, and does not end it.
 * Engines and Cores wake each other, and their own pools of threads, thousands of times a second; each turn that is cut
 * short empties the caches of keys and ciphertexts. Priorities stay as they are, and so does another policy that somebody
 * has given to a thread.
 *
 * @returns Threads that are under it now; 0 where the kernel does not allow it, which changes speed and nothing else.
 */
export function useBatchScheduling(): number {
  return library.useBatchScheduling();
}
