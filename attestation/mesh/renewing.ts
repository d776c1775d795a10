/**
 * Keeps one connection to a peer at all times: opens it, replaces it before its certificates end, and comes back after
 * failures. New calls go to the new connection; the old one is closed when its last call is over.
 */
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { RENEWED, renewalDueMs } from './renewal-due.ts';

/** What can be kept renewed. */
export interface Renewable {
  /** When its successor should be open, in milliseconds since the epoch. */
  readonly renewAtMs: number;
  /** When it ends in any case. */
  readonly closeAtMs: number;
  /** Resolves with the reason once it has ended. */
  readonly closed: Promise<string>;
  close(reason: string): void;
  /** Called in place of `close` when a successor has taken over and no call is left, if it ends by itself then. */
  retire?(): void;
}

/** Settings of a link. */
export interface RenewingOptions<T extends Renewable> {
  /** Opens a connection. Rejects with a KmsError that says for people why it could not. */
  readonly open: (signal: AbortSignal) => Promise<T>;
  /** Names the peer in the log: `engine of party 2`. */
  readonly peer: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** First and longest wait between attempts; it doubles in between. */
  readonly retryMs?: { readonly first: number; readonly longest: number };
  /** Longest that one attempt may take. */
  readonly openWithinMs?: number;
}

/** How a link is. */
export interface RenewingStatus {
  readonly connected: boolean;
  /** Why it is not connected, or why the last attempt to renew failed; undefined when all is well. */
  readonly reason: string | undefined;
  /** Attempts that failed in a row: what an alarm watches. */
  readonly failures: number;
  /** Connections that were opened so far. */
  readonly opened: number;
  /** Old connections whose calls are not over yet. */
  readonly draining: number;
}

const RETRY_MS = { first: 50, longest: 5_000 };
const OPEN_WITHIN_MS = 15_000;
/** So many failures in a row take several seconds. */
const ALARM_AFTER = 8;
/** Longest wait that a timer takes; also how soon a clock that was set is noticed. */
const LONGEST_TIMER_MS = 60_000;

interface Held<T> {
  readonly connection: T;
  readonly renewAtMs: number;
  users: number;
  retired: boolean;
  ended: boolean;
}

/** One peer's connection, kept up until closed. */
export class RenewingLink<T extends Renewable> {
  readonly #options: RenewingOptions<T>;
  readonly #listeners = new Set<(status: RenewingStatus) => void>();
  readonly #closing = new AbortController();
  readonly #draining = new Set<Held<T>>();
  readonly #finished: Promise<void>;
  #current: Held<T> | undefined;
  #wake: (() => void) | undefined;
  #reason: string | undefined = 'not connected yet';
  #failures = 0;
  #opened = 0;

  constructor(options: RenewingOptions<T>) {
    this.#options = options;
    this.#finished = this.#run();
  }

  /** The connection for new calls, if there is one. Prefer {@link use}: it counts the call. */
  get current(): T | undefined {
    return this.#current?.connection;
  }

  /** How the link is. */
  status(): RenewingStatus {
    return {
      connected: this.#current !== undefined,
      reason: this.#reason,
      failures: this.#failures,
      opened: this.#opened,
      draining: this.#draining.size,
    };
  }

  /** Calls `listener` at each change of {@link status} until the returned function is called. */
  onStatus(listener: (status: RenewingStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Runs one call on the present connection, which stays open until the call is over even if it is replaced meanwhile.
   *
   * @throws KmsError `UNAVAILABLE` when there is no connection, with the reason; else what `call` throws.
   */
  async use<R>(call: (connection: T) => R | Promise<R>): Promise<R> {
    const { connection, done } = this.take();
    try {
      return await call(connection);
    } finally {
      done();
    }
  }

  /** As {@link use}, for calls whose end is told otherwise. `done` may be called more than once. */
  take(): { readonly connection: T; readonly done: () => void } {
    const held = this.#current;
    if (!held) throw this.#unavailable();
    held.users += 1;
    let over = false;
    const done = (): void => {
      if (over) return;
      over = true;
      held.users -= 1;
      this.#closeIfIdle(held);
    };
    return { connection: held.connection, done };
  }

  /** Resolves when connected. Rejects with `CANCELLED` when the signal aborts or the link is closed. */
  async whenConnected(signal?: AbortSignal): Promise<T> {
    if (this.#current) return this.#current.connection;
    const stop = signal ? AbortSignal.any([this.#closing.signal, signal]) : this.#closing.signal;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(new KmsError('CANCELLED', `no longer waiting for ${this.#options.peer}`));
    const forget = this.onStatus(({ connected }) => connected && resolve());
    if (stop.aborted) onAbort();
    else stop.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      forget();
      stop.removeEventListener('abort', onAbort);
    }
    return await this.whenConnected(signal);
  }

  /** Opens a new connection now rather than when it is due, as after a change of the own identity. */
  renew(): void {
    this.#wake?.();
  }

  /** Closes all connections, those with calls too, and opens no more. */
  async close(reason = 'closed here'): Promise<void> {
    this.#closing.abort();
    for (const held of [...this.#draining, ...(this.#current ? [this.#current] : [])]) held.connection.close(reason);
    await this.#finished;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const retryMs = this.#options.retryMs ?? RETRY_MS;
    let waitMs = retryMs.first;
    while (!signal.aborted) {
      try {
        await this.#open();
        const sinceMs = this.#options.clock.monotonicMs();
        await this.#whileGood();
        const lasted = this.#options.clock.monotonicMs() - sinceMs >= retryMs.longest;
        // A peer that accepts and hangs up must not be called in a loop.
        if (this.#current || lasted) {
          waitMs = retryMs.first;
          continue;
        }
      } catch (error) {
        this.#failed(error);
      }
      await this.#pause(waitMs);
      waitMs = Math.min(waitMs * 2, retryMs.longest);
    }
    this.#reason = 'closed here';
    this.#current = undefined;
    this.#tell();
  }

  async #open(): Promise<void> {
    const { open, openWithinMs = OPEN_WITHIN_MS } = this.#options;
    const connection = await open(AbortSignal.any([this.#closing.signal, AbortSignal.timeout(openWithinMs)]));
    const renewAtMs = renewalDueMs(connection, this.#options.clock.nowMs());
    const held: Held<T> = { connection, renewAtMs, users: 0, retired: false, ended: false };
    if (this.#closing.signal.aborted) {
      connection.close('closed here');
      return;
    }
    const before = this.#current;
    this.#current = held;
    this.#opened += 1;
    this.#failures = 0;
    this.#reason = undefined;
    void connection.closed.then((reason) => this.#ended(held, reason));
    if (before) this.#retire(before);
    else this.#options.log.info({ event: 'mesh.link.up', peer: this.#options.peer });
    this.#tell();
  }

  /** Resolves when the present connection is due to be replaced, or has ended. */
  async #whileGood(): Promise<void> {
    const held = this.#current;
    while (held && this.#current === held && !this.#closing.signal.aborted) {
      const leftMs = held.renewAtMs - this.#options.clock.nowMs();
      if (leftMs <= 0) return;
      if (await this.#pause(Math.min(leftMs, LONGEST_TIMER_MS))) return;
    }
  }

  /** Waits. Returns whether it was woken before its time. */
  #pause(ms: number): Promise<boolean> {
    const { signal } = this.#closing;
    if (signal.aborted) return Promise.resolve(true);
    return new Promise((resolve) => {
      const settle = (woken: boolean): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#wake = undefined;
        resolve(woken);
      };
      const wake = (): void => settle(true);
      const timer = setTimeout(() => settle(false), Math.max(ms, 1));
      signal.addEventListener('abort', wake, { once: true });
      this.#wake = wake;
    });
  }

  #retire(held: Held<T>): void {
    held.retired = true;
    if (held.ended) return;
    this.#draining.add(held);
    this.#closeIfIdle(held);
  }

  #closeIfIdle(held: Held<T>): void {
    if (!held.retired || held.users > 0 || !this.#draining.delete(held)) return;
    const { connection } = held;
    if (connection.retire) connection.retire();
    else connection.close(RENEWED);
    this.#tell();
  }

  #ended(held: Held<T>, reason: string): void {
    held.ended = true;
    this.#draining.delete(held);
    if (this.#current === held) {
      this.#current = undefined;
      this.#reason = reason;
      this.#options.log.info({ event: 'mesh.link.down', peer: this.#options.peer, reason });
      this.#wake?.();
    }
    this.#tell();
  }

  #failed(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    this.#failures += 1;
    // Anything but one of ours is a bug; it must not end the attempts.
    const reason = isKmsError(error) ? error.message : 'the connection could not be made';
    const { peer, log } = this.#options;
    const connected = this.#current !== undefined;
    const line = { event: 'mesh.link.failed', peer, reason, connected };
    // Somebody who is not there yet is no alarm; somebody who stays away is, and a renewal that fails.
    const isAway = !connected && isKmsError(error, 'UNAVAILABLE') && this.#failures < ALARM_AFTER;
    if (this.#failures === ALARM_AFTER || (!isAway && reason !== this.#reason)) log.warn(line);
    else if (this.#failures === 1 || reason !== this.#reason) log.info(line);
    this.#reason = reason;
    this.#tell();
  }

  #unavailable(): KmsError {
    return new KmsError(
      'UNAVAILABLE',
      `no connection to ${this.#options.peer}: ${this.#reason ?? 'it has just ended'}`,
    );
  }

  #tell(): void {
    const status = this.status();
    for (const listener of this.#listeners) listener(status);
  }
}
