/**
 * Tunes V8's garbage collector for processes whose garbage is request bodies of 100 KB outside of V8's heap.
 *
 * By default every 64 MB of them start a full collection: twelve a second at the full load of a node that decrypts alone,
 * a quarter of its CPU. Counted within the heap's own limit instead, and with a heap that may grow further between
 * collections, they cost a few per cent, for some 280 MB resident at full load. A party of a quorum does a fraction of that
 * load, so that its bodies may start collections as they come, and many parties may share a machine.
 */
import { setFlagsFromString } from 'node:v8';

/** Applies the settings. They are read at each decision, so they may be set in a running process. */
export function tuneCollector({ isThreshold }: { readonly isThreshold: boolean }): void {
  if (isThreshold) {
    setFlagsFromString('--heap-growing-percent=100');
    return;
  }
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString('--heap-growing-percent=400');
}
