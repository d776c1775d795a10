/**
 * Tunes V8 for processes that do the same few things for months, and whose garbage is request bodies of 100 KB outside of
 * V8's heap.
 *
 * By default every 64 MB of them start a full collection: twelve a second at the full load of a node that decrypts alone,
 * a quarter of its CPU. Counted within the heap's own limit instead, and with a heap that may grow further between
 * collections, they cost a few per cent, for some 280 MB resident at full load. A party of a quorum frees its bodies
 * itself and shares its machine: its heap may grow by half between collections.
 */
import { setFlagsFromString } from 'node:v8';

/**
 * Calls of a function until V8 compiles it at its best, 3000 by default: a party gets a few hundred requests a second, and
 * would run half-optimized code for the first minute of them.
 */
const CALLS_UNTIL_OPTIMIZED = 800;

/** Applies the settings. They are read at each decision, so they may be set in a running process. */
export function tuneV8({ isThreshold }: { readonly isThreshold: boolean }): void {
  setFlagsFromString(`--invocation-count-for-turbofan=${CALLS_UNTIL_OPTIMIZED}`);
  if (isThreshold) {
    setFlagsFromString('--heap-growing-percent=50');
    return;
  }
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString('--heap-growing-percent=400');
}
