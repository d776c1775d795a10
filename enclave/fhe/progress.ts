/**
 * Progress of work that has no hooks: estimates from the time such work took before, labelled as such.
 */
import type { Clock } from '../../common/clock.ts';

/** One report. */
export interface ProgressReport {
  readonly phase: string;
  /** 0 to 1, over the whole generation. */
  readonly fraction: number;
  /** Whether the fraction is guessed from time. */
  readonly estimated: boolean;
}

/** Takes reports. */
export type ProgressSink = (report: ProgressReport) => void;

/** One stretch of a generation. */
export interface Stretch {
  readonly phase: string;
  /** Fractions at which the stretch begins and ends. */
  readonly from: number;
  readonly to: number;
  /** How long it is expected to take. */
  readonly expectedMs: number;
}

const REPORT_EVERY_MS = 500;

/**
 * Reports an estimate at once and then every half second while `work` runs.
 *
 * The estimate goes evenly up to the expected time and then creeps on: it never reaches the stretch's end before
 * the work does.
 */
export async function withEstimate<T>(
  stretch: Stretch,
  { clock, report }: { clock: Clock; report: ProgressSink },
  work: () => Promise<T>,
): Promise<T> {
  const startedMs = clock.monotonicMs();
  const tell = () => {
    const fraction = estimate(stretch, clock.monotonicMs() - startedMs);
    report({ phase: stretch.phase, fraction, estimated: true });
  };
  tell();
  const timer = setInterval(tell, REPORT_EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** Returns the estimate after `elapsedMs`: 90 % of the stretch at the expected time, the rest never quite. */
export function estimate({ from, to, expectedMs }: Stretch, elapsedMs: number): number {
  const ratio = Math.max(0, elapsedMs) / Math.max(1, expectedMs);
  const done = ratio <= 1 ? 0.9 * ratio : 1 - 0.1 / ratio;
  return from + (to - from) * done;
}

/** What each kind of work took last time in this process; before that, what it takes on a 2-core machine. */
export class Durations {
  readonly #known: Map<string, number>;

  constructor(first: Readonly<Record<string, number>>) {
    this.#known = new Map(Object.entries(first));
  }

  /** Expected duration of a kind of work; a second if nobody knows. */
  expected(kind: string): number {
    return this.#known.get(kind) ?? 1_000;
  }

  /** Remembers how long it took. */
  learn(kind: string, ms: number): void {
    this.#known.set(kind, ms);
  }
}
