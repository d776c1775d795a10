/**
 * Counts streams that were dropped at the doors of an enclave's parent: whoever scans its ports is seen, and cannot fill the
 * log by it.
 */

/** Why one was dropped: it came from another CID, its port had too many, or it never read what it had asked for. */
export type DropReason = 'foreign' | 'full' | 'idle';

/** The streams that one start has dropped. */
export interface DroppedStreams {
  add(port: number, why: DropReason): void;
  /** Tells the counts that were not told yet. */
  close(): void;
}

/** Counts by port and reason. `tell` gets a count as it reaches 1, 2, 4, 8 …, and the last one. */
export function countDropped(tell: (port: number, why: DropReason, count: number) => void): DroppedStreams {
  const counts = new Map<string, { port: number; why: DropReason; count: number; told: number }>();
  return {
    add: (port, why) => {
      const key = `${port} ${why}`;
      const entry = counts.get(key) ?? { port, why, count: 0, told: 0 };
      counts.set(key, entry);
      entry.count++;
      if (entry.count < 2 * entry.told) return;
      entry.told = entry.count;
      tell(port, why, entry.count);
    },
    close: () => {
      for (const { port, why, count, told } of counts.values()) if (count > told) tell(port, why, count);
      counts.clear();
    },
  };
}
