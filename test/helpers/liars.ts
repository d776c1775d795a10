/** Parties that lie, for simulated quorums. */
import type { Strategy } from './sim-quorum.ts';

/** The last `count` parties, each with a strategy of its own. */
export function liarsOf(count: number, strategy: () => Strategy): ReadonlyMap<number, Strategy> {
  return new Map(Array.from({ length: count }, (_, i) => [i * 3 + 1, strategy()]));
}
