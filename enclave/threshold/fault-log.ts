/** Writes what parties do wrong to the log, so seldom that a party cannot fill it. */
import type { Logger } from '../../common/log.ts';
import type { QuorumFault } from './fault-ledger.ts';

/** A party's wrongs of one kind are told once in this time, with how many were not told since. */
const PAUSE_MS = 10_000;

/**
 * Returns what a {@link FaultLedger} tells its faults to.
 *
 * @param nowMs - Monotonic time.
 */
export function faultLog(log: Pick<Logger, 'warn'>, nowMs: () => number): (fault: QuorumFault) => void {
  const told = new Map<string, { atMs: number; untold: number }>();
  return (fault) => {
    const { party, kind } = fault;
    const key = `${party} ${kind}`;
    const last = told.get(key);
    if (last && nowMs() - last.atMs < PAUSE_MS) {
      last.untold += 1;
      return;
    }
    told.set(key, { atMs: nowMs(), untold: 0 });
    const request = fault.requestId === undefined ? {} : { requestId: fault.requestId };
    log.warn({ event: 'quorum.fault', party, fault: kind, ...request, untold: last?.untold ?? 0 }, sentenceOf(fault));
  };
}

function sentenceOf({ party, kind }: QuorumFault): string {
  switch (kind) {
    case 'wrong share':
      return `party ${party} sent a wrong share`;
    case 'revised share':
      return `party ${party} sent two different shares for one request`;
    case 'another ciphertext':
      return `party ${party} has another ciphertext`;
    case 'malformed frame':
      return `party ${party} sent what is no frame`;
    case 'flood':
      return `party ${party} sends or asks for more than it may`;
  }
}
