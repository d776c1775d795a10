/**
 * A grpc-js channel over the mesh that renews its connection without losing a call.
 *
 * Give it to any generated client as `channelOverride`. Before a connection's certificates end, a second channel is
 * opened and made ready; new calls go there, and the first one closes after its last call. Between renewals grpc-js
 * reconnects by its own rules.
 */
import { Channel, type ChannelInterface, type ChannelOptions, connectivityState } from '@grpc/grpc-js';
import { systemClock } from '../../../common/clock.ts';
import type { KmsError } from '../../../common/errors.ts';
import type { MeshEndpoint, MeshPeer, PeerExpectation } from '../mesh-context.ts';
import { renewalDueMs } from '../renewal-due.ts';
import { MeshChannelCredentials } from './channel-credentials.ts';

type GrpcCall = ReturnType<ChannelInterface['createCall']>;

/** What a channel dials, as whom, and whom it expects. */
export interface MeshChannelOptions {
  /** As grpc-js has it: `unix:/path` or `host:port`. */
  readonly target: string;
  readonly endpoint: MeshEndpoint;
  readonly expect: PeerExpectation;
  readonly channelOptions?: ChannelOptions;
}

/** A channel, with what the mesh knows of it. */
export interface MeshChannel extends ChannelInterface {
  /** The peer of the newest connection; undefined before the first. */
  peer(): MeshPeer | undefined;
  /** Why the last attempt to connect failed; undefined after a good one. */
  failure(): KmsError | undefined;
  /** Connections that replaced another before its end. */
  renewals(): number;
}

/** Opens a channel. It connects with the first call, or when asked for its state with `tryToConnect`. */
export function openMeshChannel(options: MeshChannelOptions): MeshChannel {
  return new RenewingChannel(options);
}

const RETRY_MS = { first: 100, longest: 5_000 };
const READY_WITHIN_MS = 15_000;
const LONGEST_TIMER_MS = 60_000;

interface Inner {
  readonly channel: Channel;
  calls: number;
  retired: boolean;
  /** When the newest connection is due to be replaced; undefined before the first. */
  renewAtMs: number | undefined;
}

class RenewingChannel implements MeshChannel {
  readonly #options: MeshChannelOptions;
  #current: Inner;
  readonly #old = new Set<Inner>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #peer: MeshPeer | undefined;
  #failure: KmsError | undefined;
  #renewals = 0;

  constructor(options: MeshChannelOptions) {
    this.#options = options;
    this.#current = this.#make();
  }

  peer(): MeshPeer | undefined {
    return this.#peer;
  }

  failure(): KmsError | undefined {
    return this.#failure;
  }

  renewals(): number {
    return this.#renewals;
  }

  createCall(...args: Parameters<ChannelInterface['createCall']>): GrpcCall {
    const inner = this.#current;
    const call = inner.channel.createCall(...args);
    inner.calls += 1;
    const start = call.start.bind(call);
    call.start = (metadata, listener) =>
      start(metadata, {
        onReceiveMetadata: (received) => listener.onReceiveMetadata(received),
        onReceiveMessage: (message) => listener.onReceiveMessage(message),
        onReceiveStatus: (status) => {
          inner.calls -= 1;
          listener.onReceiveStatus(status);
          this.#closeIfIdle(inner);
        },
      });
    return call;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { channel } of [this.#current, ...this.#old]) channel.close();
    this.#old.clear();
  }

  getTarget(): string {
    return this.#current.channel.getTarget();
  }

  getConnectivityState(tryToConnect: boolean): connectivityState {
    return this.#current.channel.getConnectivityState(tryToConnect);
  }

  watchConnectivityState(...args: Parameters<ChannelInterface['watchConnectivityState']>): void {
    this.#current.channel.watchConnectivityState(...args);
  }

  getChannelzRef(): ReturnType<ChannelInterface['getChannelzRef']> {
    return this.#current.channel.getChannelzRef();
  }

  #make(): Inner {
    const { target, endpoint, expect, channelOptions } = this.#options;
    const credentials = new MeshChannelCredentials({
      endpoint,
      expect,
      onConnection: (connection) => {
        inner.renewAtMs = renewalDueMs(connection, endpoint.clock.nowMs());
        this.#peer = connection.peer;
        this.#failure = undefined;
        if (inner === this.#current) this.#schedule(RETRY_MS.first);
        // A call that was made and never started would keep an old channel for good.
        void connection.closed.then(() => {
          if (this.#old.delete(inner)) inner.channel.close();
        });
      },
      onFailure: (error) => {
        this.#failure = error;
      },
    });
    const inner: Inner = {
      channel: new Channel(target, credentials, { 'grpc.use_local_subchannel_pool': 1, ...channelOptions }),
      calls: 0,
      retired: false,
      renewAtMs: undefined,
    };
    return inner;
  }

  /** Waits until the present connection is due, then renews it. */
  #schedule(retryMs: number): void {
    clearTimeout(this.#timer);
    const { renewAtMs } = this.#current;
    if (this.#closed || renewAtMs === undefined) return;
    const leftMs = renewAtMs - this.#options.endpoint.clock.nowMs();
    if (leftMs <= 0) {
      void this.#renew(retryMs);
      return;
    }
    this.#timer = setTimeout(() => this.#schedule(retryMs), Math.min(leftMs, LONGEST_TIMER_MS)).unref();
  }

  /** Never rejects: a renewal that fails is tried again, and calls go on as long as the old connection lives. */
  async #renew(retryMs: number): Promise<void> {
    const before = this.#current;
    const next = this.#make();
    const ready = await whenReady(next.channel);
    if (this.#closed || this.#current !== before) {
      next.channel.close();
      return;
    }
    if (!ready) {
      next.channel.close();
      const waitMs = Math.min(retryMs * 2, RETRY_MS.longest);
      this.#timer = setTimeout(() => this.#schedule(waitMs), retryMs).unref();
      return;
    }
    this.#current = next;
    this.#renewals += 1;
    before.retired = true;
    this.#old.add(before);
    this.#closeIfIdle(before);
    this.#schedule(RETRY_MS.first);
  }

  #closeIfIdle(inner: Inner): void {
    if (inner.retired && inner.calls === 0 && this.#old.delete(inner)) inner.channel.close();
  }
}

/** Resolves whether the channel became ready before it first failed. */
function whenReady(channel: Channel): Promise<boolean> {
  // grpc-js compares it with the machine's own clock.
  const deadline = systemClock.nowMs() + READY_WITHIN_MS;
  return new Promise((resolve) => {
    const look = (): void => {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) resolve(true);
      else if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) resolve(false);
      else channel.watchConnectivityState(state, deadline, (error) => (error ? resolve(false) : look()));
    };
    look();
  });
}
