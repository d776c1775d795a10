/**
 * Prolongs the lease of a vault that is open, and looks at the manifest's head once another server has taken it: that one
 * may have ended before it took the head as well.
 */
import { isKmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { ManifestHead } from '../seal/manifest-head.ts';
import { LEASE_RENEWAL_MS, type Lease } from './lease.ts';

/** What is watched. */
export interface WatchedLease {
  readonly lease: Pick<Lease, 'renew'>;
  /** Tells by itself that it is lost. */
  readonly head: Pick<ManifestHead, 'check'>;
  readonly log: Logger;
  /** Between two looks. */
  readonly everyMs?: number;
}

/** Begins to watch. Returns what ends that, and resolves once no look is under way. */
export function watchLease({ lease, head, log, everyMs = LEASE_RENEWAL_MS }: WatchedLease): () => Promise<void> {
  let ended = false;
  let looking: Promise<void> = Promise.resolve();
  const look = async (): Promise<void> => {
    try {
      if (!(await lease.renew())) await head.check();
    } catch (err) {
      if (isKmsError(err, 'ABORTED')) ended = true;
      else log.warn({ event: 'vault.lease-not-renewed', err });
    }
    if (!ended) schedule();
  };
  let timer: NodeJS.Timeout;
  const schedule = (): void => {
    timer = setTimeout(() => {
      looking = look();
    }, everyMs);
    timer.unref();
  };
  schedule();
  return async () => {
    ended = true;
    clearTimeout(timer);
    await looking;
  };
}
