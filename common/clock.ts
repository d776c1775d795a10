/**
 * The one place that reads the time. Everything else takes a {@link Clock}, so that tests can set it.
 */

/** Source of time: wall time for people and records, monotonic time for waits and durations. */
export interface Clock {
  /** Milliseconds since the Unix epoch; may jump when the machine's clock is set. */
  nowMs(): number;
  /** Milliseconds since some fixed instant, with fractions; never goes back. */
  monotonicMs(): number;
}

/** The machine's own clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};
