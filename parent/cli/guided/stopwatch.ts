/**
 * Times and prints the steps of a guided run.
 */
import type { Output } from '../framework/output.ts';

/** A step that is done. */
export interface Step {
  readonly name: string;
  readonly ms: number;
}

/** How a step is shown. */
export interface StepOptions<T> {
  /** For the estimate shown while it runs. */
  readonly expectedMs?: number;
  /** What to say of its result. */
  readonly detail?: (result: T) => string;
  /** Whether the result is a good one; it is unless this says otherwise. */
  readonly isGood?: (result: T) => boolean;
}

/** Runs steps one after the other. */
export interface Stopwatch {
  readonly steps: readonly Step[];
  step<T>(name: string, body: () => Promise<T>, options?: StepOptions<T>): Promise<T>;
}

/** Opens a stopwatch; `done` are steps that were taken before. */
export function openStopwatch(output: Output, done: readonly Step[]): Stopwatch {
  const steps = [...done];
  return {
    steps,
    step: async (name, body, { expectedMs = 500, detail, isGood = () => true } = {}) => {
      const progress = output.progress(name);
      progress.estimate(expectedMs);
      try {
        const result = await body();
        const end = isGood(result) ? progress.done : progress.failed;
        steps.push({ name, ms: Math.round(end(detail?.(result))) });
        return result;
      } catch (error) {
        progress.failed();
        throw error;
      }
    },
  };
}
