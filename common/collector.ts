/**
 * Tunes V8's garbage collector for processes whose garbage is request bodies of 100 KB outside of V8's heap.
 *
 * By default every 64 MB of them start a full collection: twelve a second at full load, a quarter of the CPU. Counted
 * within the heap's own limit instead, and with a heap that may grow further between collections, they cost a few
 * per cent, for some 280 MB resident at full load.
 */
import { setFlagsFromString } from 'node:v8';

/** Applies the settings. Both are read at each decision, so they may be set in a running process. */
export function tuneCollector(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString('--heap-growing-percent=400');
}
