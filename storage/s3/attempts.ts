/**
 * Requests with a time limit, tried a bounded number of times with growing, random pauses.
 */
import { KmsError } from '../../common/errors.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import { type Attempted, type Failure, judge, TimedOut } from './failures.ts';

/** Waits; rejects when the signal fires. */
export type Sleep = (ms: number, signal: AbortSignal | undefined) => Promise<void>;

/** Settings of {@link Attempts}. */
export interface AttemptsOptions {
  readonly attempts: number;
  readonly random?: RandomSource;
  readonly sleep?: Sleep;
  /** Is told of each failure that is tried again. */
  readonly onRetry?: (failure: Failure, attempt: number, pauseMs: number) => void;
}

/** What a request came to: `ambiguous` if an earlier attempt may have been carried out too. */
export type Outcome<T> = { readonly ok: true; readonly value: T; readonly ambiguous: boolean } | FailedOutcome;

/** What a request came to that failed for good. */
export interface FailedOutcome {
  readonly ok: false;
  readonly failure: Failure;
  readonly ambiguous: boolean;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/** Runs requests. */
export class Attempts {
  readonly #options: AttemptsOptions;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** How often a request is tried. */
  get limit(): number {
    return this.#options.attempts;
  }

  /**
   * Runs a request until it succeeds, fails for good, or was tried often enough. Failures are returned, not thrown.
   *
   * @throws {@link KmsError} `CANCELLED` by the signal.
   */
  async run<T>(
    attempted: Attempted,
    request: (signal: AbortSignal) => Promise<T>,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Outcome<T>> {
    let ambiguous = false;
    for (let attempt = 1; ; attempt++) {
      try {
        return { ok: true, value: await limited(request, options.timeoutMs, options.signal), ambiguous };
      } catch (error) {
        if (options.signal?.aborted) throw cancelled(options.signal);
        const failure = judge(error, attempted);
        if (!failure.retryable || attempt >= this.limit) return { ok: false, failure, ambiguous };
        ambiguous ||= failure.ambiguous;
        await this.pause(failure, attempt, options.signal);
      }
    }
  }

  /** As {@link run}, for requests that may be repeated without harm: returns the value or throws the failure. */
  async get<T>(...args: Parameters<typeof this.run<T>>): Promise<T> {
    const outcome = await this.run(...args);
    if (outcome.ok) return outcome.value;
    throw outcome.failure.error;
  }

  /** Waits before attempt number `attempt` + 1: anything up to twice as long as before. */
  async pause(failure: Failure, attempt: number, signal: AbortSignal | undefined): Promise<void> {
    const { random = systemRandom, sleep = sleepFor, onRetry } = this.#options;
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1));
    const pauseMs = Math.round(((Buffer.from(random(2)).readUInt16BE() + 1) / 65_536) * longest);
    onRetry?.(failure, attempt, pauseMs);
    try {
      await sleep(pauseMs, signal);
    } catch (error) {
      throw signal?.aborted ? cancelled(signal) : error;
    }
  }
}

/** Runs work with a time limit of its own; the work must stop when its signal fires. */
export async function limited<T>(
  work: (signal: AbortSignal) => Promise<T>,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => controller.abort(signal?.reason);
  if (signal?.aborted) throw cancelled(signal);
  signal?.addEventListener('abort', stop, { once: true });
  let timedOut: (reason: unknown) => void = () => undefined;
  const late = new Promise<never>((_, reject) => {
    timedOut = reject;
  });
  const timer = setTimeout(() => {
    timedOut(new TimedOut('no answer in time'));
    controller.abort();
  }, timeoutMs);
  try {
    return await Promise.race([work(controller.signal), late]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

function cancelled(signal: AbortSignal): KmsError {
  return new KmsError('CANCELLED', 'the request was cancelled', {}, signal.reason);
}

const sleepFor: Sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
