/**
 * The engine client over Unix sockets: one connection for decryptions, one for generations, reconnected by itself.
 *
 * How a byte stream to the engine comes about is a function passed in; the mesh will pass another one.
 */
import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { fromBinary } from '@bufbuild/protobuf';
import { type Clock, systemClock } from '../../../common/clock.ts';
import { KmsError, systemErrorCode } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import { type EngineInfo, EngineInfoSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD, type EngineMethod } from '../../../wire/frames.ts';
import type { EngineCallOptions, EngineClient } from './engine-client.ts';
import { LinkConnection } from './link-connection.ts';

/** Opens a byte stream to the engine. Rejects with a KmsError that says for people why it could not. */
export type EngineDialer = (signal: AbortSignal) => Promise<Duplex>;

/** Settings of {@link openEngineClient}. */
export interface EngineClientOptions {
  readonly dial: EngineDialer;
  readonly developerMode: boolean;
  readonly log: Logger;
  readonly clock?: Clock;
  /** First and longest wait between attempts to connect; it doubles in between. */
  readonly retryMs?: { readonly first: number; readonly longest: number };
  /** Bytes of calls that may wait for the engine before further ones are refused. */
  readonly maxQueuedBytes?: number;
}

const HANDSHAKE_MS = 10_000;

/** Returns a client that is disconnected at first and connects by itself. */
export function openEngineClient(options: EngineClientOptions): EngineClient {
  return new ReconnectingClient(options);
}

/** Dials the engine's Unix socket. */
export function unixDialer(socketPath: string): EngineDialer {
  return async (signal) => {
    // Not as an option: the socket would heed the signal for as long as it lives.
    if (signal.aborted) throw new KmsError('CANCELLED', 'no longer connecting to the engine');
    const socket = connectSocket({ path: socketPath });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => void socket.destroy(new Error('connecting took too long'));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', resolve);
    socket.once('error', reject);
    try {
      await promise;
    } catch (error) {
      const code = systemErrorCode(error);
      const why = code === 'ENOENT' || code === 'ECONNREFUSED' ? 'no engine listens there' : `failed (${code})`;
      throw new KmsError('UNAVAILABLE', `connecting to ${socketPath}: ${why}`, {}, error);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
    socket.off('error', reject);
    return socket;
  };
}

interface Links {
  readonly calls: LinkConnection;
  readonly bulk: LinkConnection;
}

class ReconnectingClient implements EngineClient {
  readonly #options: EngineClientOptions;
  readonly #clock: Clock;
  readonly #listeners = new Set<(state: 'connected' | 'disconnected') => void>();
  readonly #closing = new AbortController();
  readonly #finished: Promise<void>;
  #links: Links | undefined;
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
  get #live(): Links | undefined {
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
    const { first, longest } = this.#options.retryMs ?? { first: 20, longest: 250 };
    const { signal } = this.#closing;
    let waitMs = first;
    while (!signal.aborted) {
      try {
        const links = await this.#connect();
        waitMs = first;
        const reason = await this.#serveUntilEnd(links);
        this.#disconnected(reason);
      } catch (error) {
        // Nothing but a bug fails here without being one of ours; it must not end the attempts.
        const reason = error instanceof KmsError ? error.message : 'the engine could not be understood';
        if (reason !== this.#reason && !signal.aborted) this.#options.log.info({ event: 'engine.unreachable', reason });
        this.#reason = reason;
      }
      await delay(waitMs, signal);
      waitMs = Math.min(waitMs * 2, longest);
    }
  }

  /** Opens both connections and asks the engine what it is. All or nothing. */
  async #connect(): Promise<Links> {
    const stop = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(HANDSHAKE_MS)]);
    const opened: LinkConnection[] = [];
    const onStop = (): void => {
      for (const link of opened) link.destroy(new KmsError('UNAVAILABLE', 'the engine did not greet in time'));
    };
    stop.addEventListener('abort', onStop, { once: true });
    try {
      const calls = await this.#open('core', stop, opened);
      const bulk = await this.#open('core-bulk', stop, opened);
      const body = await calls.call(ENGINE_METHOD.describe, new Uint8Array(), { timeoutMs: HANDSHAKE_MS });
      this.#info = fromBinary(EngineInfoSchema, body);
      return { calls, bulk };
    } catch (error) {
      for (const link of opened) link.destroy(new KmsError('UNAVAILABLE', 'the handshake failed'));
      throw error;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  async #open(role: 'core' | 'core-bulk', stop: AbortSignal, opened: LinkConnection[]): Promise<LinkConnection> {
    const { dial, developerMode, maxQueuedBytes = 256 * 1024 * 1024 } = this.#options;
    const stream = await dial(stop);
    const link = new LinkConnection(stream, { role, developerMode, clock: this.#clock, maxQueuedBytes });
    opened.push(link);
    await link.hello();
    return link;
  }

  /** Lets calls through until either connection ends, then ends the other too. */
  async #serveUntilEnd(links: Links): Promise<string> {
    const { signal } = this.#closing;
    const closed = new KmsError('UNAVAILABLE', 'the core is stopping');
    const onClose = (): void => {
      links.calls.destroy(closed);
      links.bulk.destroy(closed);
    };
    this.#links = links;
    this.#reason = undefined;
    signal.addEventListener('abort', onClose, { once: true });
    if (signal.aborted) onClose();
    this.#options.log.info({ event: 'engine.connected', version: this.#info?.version });
    this.#tell('connected');
    const reason = await Promise.race([links.calls.ended, links.bulk.ended]);
    this.#links = undefined;
    signal.removeEventListener('abort', onClose);
    links.calls.destroy(reason);
    links.bulk.destroy(reason);
    await Promise.all([links.calls.ended, links.bulk.ended]);
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

function delay(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) return Promise.resolve();
  const timer = setTimeout(done, ms);
  signal.addEventListener('abort', done, { once: true });
  function done(): void {
    clearTimeout(timer);
    signal.removeEventListener('abort', done);
    resolve();
  }
  return promise;
}
