/**
 * The log of TLS clients that were turned away: a line each, but no more than one a second, so that strangers cannot
 * fill a disk with them.
 */
import type { Clock } from '../../../common/clock.ts';
import type { Logger } from '../../../common/log.ts';
import type { OnRefused } from '../../grpc/listeners.ts';

const EVERY_MS = 1000;

/** Returns what is told of refusals; those in between are counted in `suppressed` of the next line. */
export function refusalLog(log: Logger, clock: Clock): OnRefused {
  let quietUntilMs = Number.NEGATIVE_INFINITY;
  let suppressed = 0;
  return (reason, source) => {
    const nowMs = clock.monotonicMs();
    if (nowMs < quietUntilMs) {
      suppressed++;
      return;
    }
    log.info({ event: 'tls.client_refused', reason, source, suppressed });
    quietUntilMs = nowMs + EVERY_MS;
    suppressed = 0;
  };
}
