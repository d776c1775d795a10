/**
 * Compares the enclave's clock with its own attestation again and again, for as long as the engine runs. A clock that is off
 * ends the engine; so does a device that tells no time any more.
 */
import type { Attester } from '../../attestation/attester/attester.ts';
import type { TrustAnchor } from '../../attestation/document/index.ts';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { attestClock } from '../mesh/attest-clock.ts';

/** What is compared with what. */
export interface ClockWatchOptions {
  readonly attester: Pick<Attester, 'attest'>;
  readonly anchor: TrustAnchor;
  readonly clock: Clock;
  /** Runs something after a time, unless the function that it returns is called before; tests have their own. */
  readonly after?: ((ms: number, run: () => void) => () => void) | undefined;
}

/** A watch that goes on. */
export interface ClockWatch {
  /** Resolves with the reason once the clock cannot be trusted any more. */
  readonly failed: Promise<KmsError>;
  stop(): void;
}

const EVERY_MS = 600_000;
/** A device that gives no document is asked again after this, and given up after so many times. */
const AGAIN_MS = 60_000;
const ATTEMPTS = 5;

/** Starts to compare, the first time in ten minutes: at the start `bindCharter` does. */
export function watchClock(options: ClockWatchOptions): ClockWatch {
  const { attester, after = timer } = options;
  const { promise: failed, resolve } = Promise.withResolvers<KmsError>();
  let misses = 0;
  let stopped = false;
  let cancel = (): void => {};
  const wait = (ms: number): void => {
    // It cannot fail: whatever goes wrong is what it is there to find.
    if (!stopped) cancel = after(ms, () => void look());
  };
  const look = async (): Promise<void> => {
    try {
      await attestClock(attester, options);
      misses = 0;
      wait(EVERY_MS);
    } catch (error) {
      misses += 1;
      const passes = isKmsError(error, 'UNAVAILABLE') && misses < ATTEMPTS;
      if (passes) return wait(AGAIN_MS);
      resolve(isKmsError(error) ? error : new KmsError('INTERNAL', 'the clock cannot be checked', {}, error));
    }
  };
  wait(EVERY_MS);
  return {
    failed,
    stop: () => {
      stopped = true;
      cancel();
    },
  };
}

const timer: NonNullable<ClockWatchOptions['after']> = (ms, run) => {
  const handle = setTimeout(run, ms);
  handle.unref();
  return () => clearTimeout(handle);
};
