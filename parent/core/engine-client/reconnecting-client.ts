/**
 * The engine client: one connection for decryptions, one for generations, renewed in time and reconnected by itself.
 *
 * How a byte stream to the engine comes about is a function passed in: a node passes the mesh's.
 */
import type { Duplex } from 'node:stream';
import { fromBinary } from '@bufbuild/protobuf';
import { type Clock, systemClock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import { type EngineInfo, EngineInfoSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD, type EngineMethod } from '../../../wire/frames.ts';
import { pause } from '../pause.ts';
import type { EngineCallOptions, EngineClient } from './engine-client.ts';
import { LinkConnection } from './link-connection.ts';
import { type EngineLinks, renewUntilEnd } from './renewal.ts';

/** A byte stream to the engine. */
export interface EngineStream {
  readonly stream: Duplex;
  /** When to have another one in its place, in milliseconds since 1970; never if absent. */
  readonly renewAtMs?: number | undefined;
}

/** Opens a byte stream to the engine. Rejects with a KmsError that says for people why it could not. */
export type EngineDialer = (signal: AbortSignal) => Promise<EngineStream>;

/** Settings of {@link openEngineClient}. */
export interface EngineClientOptions {
  readonly dial: EngineDialer;
  readonly developerMode: boolean;
  readonly log: Logger;
  readonly clock?: Clock;
  /** First and longest wait between attempts to connect; it doubles in between. */
  readonly retryMs?: RetryMs;
  /** The same after the mesh refused, on either side. */
  readonly refusedRetryMs?: RetryMs;
  /** The same for the renewal of a connection that still serves. */
  readonly renewalRetryMs?: RetryMs;
  /** Bytes of calls that may wait for the engine before further ones are refused. */
  readonly maxQueuedBytes?: number;
}

/** First and longest wait between attempts. */
interface RetryMs {
  readonly first: number;
  readonly longest: number;
}

const HANDSHAKE_MS = 10_000;
const RECONNECT_MS: RetryMs = { first: 20, longest: 250 };
/** A refusal costs both sides a handshake and an operator a line, and seldom goes away by itself. */
const REFUSED_MS: RetryMs = { first: 500, longest: 5_000 };
const RENEWAL_MS: RetryMs = { first: 500, longest: 60_000 };

/** Returns a client that is disconnected at first and connects by itself. */
export function openEngineClient(options: EngineClientOptions): EngineClient {
  return new ReconnectingClient(options);
}

class ReconnectingClient implements EngineClient {
  readonly #options: EngineClientOptions;
  readonly #clock: Clock;
  readonly #listeners = new Set<(state: 'connected' | 'disconnected') => void>();
  readonly #closing = new AbortController();
  readonly #finished: Promise<void>;
  #links: EngineLinks | undefined;
  #info: EngineInfo | undefined;
  #reason: string | undefined = 'not connected yet';

  constructor(options: EngineClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#finished = this.#stayConnected();
  }

  get state(): 'connected' | 'disconnected' {
    return this.#live ? 'connected' : 'disconnected';
  }

  get reason(): string | undefined {
    return this.#live ? undefined : (this.#reason ?? 'the connection has just ended');
  }

  /** Both connections, unless one has ended: callers hear of an end before this class does. */
  get #live(): EngineLinks | undefined {
    const links = this.#links;
    return links?.calls.isOpen && links.bulk.isOpen ? links : undefined;
  }

  info(): EngineInfo | undefined {
    return this.#info;
  }

  async refreshInfo(signal?: AbortSignal): Promise<EngineInfo> {
    const body = await this.call(ENGINE_METHOD.describe, new Uint8Array(), { signal });
    this.#info = fromBinary(EngineInfoSchema, body);
    return this.#info;
  }

  call(method: EngineMethod, body: Uint8Array, options: EngineCallOptions = {}): Promise<Uint8Array> {
    const links = this.#live;
    if (!links) {
      const why = this.reason ?? 'not connected';
      return Promise.reject(new KmsError('UNAVAILABLE', `the engine is down: ${why}`, { reason: 'engine down' }));
    }
    return (options.bulk ? links.bulk : links.calls).call(method, body, options);
  }

  onState(listener: (state: 'connected' | 'disconnected') => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async whenConnected(signal?: AbortSignal): Promise<void> {
    if (this.#live) return;
    const stop = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(new KmsError('CANCELLED', 'no longer waiting for the engine'));
    const forget = this.onState((state) => {
      if (state === 'connected') resolve();
    });
    if (stop.aborted) onAbort();
    else stop.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      forget();
      stop.removeEventListener('abort', onAbort);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#finished;
  }

  async #stayConnected(): Promise<void> {
    const { retryMs = RECONNECT_MS, refusedRetryMs = REFUSED_MS } = this.#options;
    const { signal } = this.#closing;
    let waitMs = 0;
    while (!signal.aborted) {
      let pace = retryMs;
      try {
        const links = await this.#connect();
        waitMs = 0;
        const reason = await this.#serveUntilEnd(links);
        this.#disconnected(reason);
      } catch (error) {
        // Nothing but a bug fails here without being one of ours; it must not end the attempts.
        const reason = error instanceof KmsError ? error.message : 'the engine could not be understood';
        if (reason !== this.#reason && !signal.aborted) this.#options.log.info({ event: 'engine.unreachable', reason });
        this.#reason = reason;
        if (error instanceof KmsError && error.code.startsWith('ATTESTATION_')) pace = refusedRetryMs;
      }
      waitMs = Math.min(Math.max(waitMs * 2, pace.first), pace.longest);
      await pause(waitMs, signal);
    }
  }

  /** Opens both connections and asks the engine what it is. All or nothing. */
  async #connect(): Promise<EngineLinks> {
    const failed = new AbortController();
    const stop = AbortSignal.any([this.#closing.signal, failed.signal, AbortSignal.timeout(HANDSHAKE_MS)]);
    const opened: LinkConnection[] = [];
    const onStop = (): void => {
      for (const link of opened) link.destroy(new KmsError('UNAVAILABLE', 'the engine did not greet in time'));
    };
    stop.addEventListener('abort', onStop, { once: true });
    try {
      const [calls, bulk] = await Promise.all([
        this.#open('core', stop, opened),
        this.#open('core-bulk', stop, opened),
      ]);
      const body = await calls.link.call(ENGINE_METHOD.describe, new Uint8Array(), { timeoutMs: HANDSHAKE_MS });
      this.#info = fromBinary(EngineInfoSchema, body);
      const renewals = [calls.renewAtMs, bulk.renewAtMs].filter((at) => at !== undefined);
      const renewAtMs = renewals.length === 0 ? undefined : Math.min(...renewals);
      return { calls: calls.link, bulk: bulk.link, renewAtMs };
    } catch (error) {
      for (const link of opened) link.destroy(new KmsError('UNAVAILABLE', 'the handshake failed'));
      failed.abort();
      throw error;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  async #open(role: 'core' | 'core-bulk', stop: AbortSignal, opened: LinkConnection[]) {
    const { dial, developerMode, maxQueuedBytes = 256 * 1024 * 1024 } = this.#options;
    const { stream, renewAtMs } = await dial(stop);
    const link = new LinkConnection(stream, { role, developerMode, clock: this.#clock, maxQueuedBytes });
    opened.push(link);
    if (stop.aborted) link.destroy(new KmsError('UNAVAILABLE', 'the engine did not greet in time'));
    await link.hello();
    return { link, renewAtMs };
  }

  /** Lets calls through until the connections end, with their successors in time. */
  async #serveUntilEnd(links: EngineLinks): Promise<string> {
    const { signal } = this.#closing;
    const { log, renewalRetryMs: retryMs = RENEWAL_MS } = this.#options;
    const used = new Set<EngineLinks>();
    const use = (next: EngineLinks): void => {
      for (const old of used) if (!old.calls.isOpen && !old.bulk.isOpen) used.delete(old);
      used.add(next);
      this.#links = next;
    };
    const endAll = (reason: KmsError): void => {
      for (const { calls, bulk } of used) {
        calls.destroy(reason);
        bulk.destroy(reason);
      }
    };
    const onClose = (): void => endAll(new KmsError('UNAVAILABLE', 'the core is stopping'));
    use(links);
    this.#reason = undefined;
    signal.addEventListener('abort', onClose, { once: true });
    if (signal.aborted) onClose();
    log.info({ event: 'engine.connected', version: this.#info?.version });
    this.#tell('connected');
    const connect = (): Promise<EngineLinks> => this.#connect();
    const reason = await renewUntilEnd(links, { connect, use, clock: this.#clock, log, signal, retryMs });
    this.#links = undefined;
    signal.removeEventListener('abort', onClose);
    endAll(reason);
    await Promise.all([...used].flatMap(({ calls, bulk }) => [calls.ended, bulk.ended]));
    return reason.message;
  }

  #disconnected(reason: string): void {
    this.#reason = reason;
    this.#options.log.warn({ event: 'engine.disconnected', reason });
    this.#tell('disconnected');
  }

  #tell(state: 'connected' | 'disconnected'): void {
    for (const listener of [...this.#listeners]) listener(state);
  }
}
