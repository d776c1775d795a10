/**
 * All sessions with one peer, over one connection at a time, or two while one replaces the other.
 *
 * New sessions go to the newest connection; an old one carries its sessions to their end and closes then. Where it
 * cannot, sessions that can be resumed go on on the next one. A session that the peer opens first waits, within bounds,
 * until this side opens it.
 */
import type { Duplex } from 'node:stream';
import { toHex } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import { FrameChannel, type FrameCounters } from './frame-channel.ts';
import type { InFlow } from './frame-flows.ts';
import type { FrameLimits } from './frame-limits.ts';
import { type FrameSession, LinkSession } from './frame-session.ts';
import { RENEWED } from './renewal-due.ts';
import { UnopenedSessions } from './unopened-sessions.ts';

/** Settings of a link. */
export interface FrameLinkOptions {
  /** Names the peer in errors and reasons: `engine of party 2`. */
  readonly peer: string;
  readonly clock: Clock;
  readonly limits?: Partial<FrameLimits>;
  /** Sessions that the peer may have opened and nobody here; more are refused. Default 256. */
  readonly maxUnopened?: number;
  /** How long such a session waits. Default 30 s. */
  readonly unopenedMs?: number;
  /** How long a session that can be resumed waits for the peer's next connection. Default 5 s. */
  readonly resumeWithinMs?: number;
  /** Told the id of each session that the peer opens first. */
  readonly onUnopened?: (id: string) => void;
  /** Told when the peer breaks the frame protocol, which ends the connection. */
  readonly onBroken?: () => void;
}

/** What a link has carried, and what it holds. */
export interface FrameLinkStats extends FrameCounters {
  readonly connections: number;
  readonly sessions: number;
  /** Sessions that only the peer has opened. */
  readonly unopened: number;
}

/** What of one session varies. */
export interface SessionOptions {
  /**
   * Makes the session outlive its connections: called when it can send again on another one, after which the peer may lack
   * whatever was sent before and must be able to take it twice.
   */
  readonly resend?: () => void;
}

type Totals = { -readonly [K in Exclude<keyof FrameCounters, 'bufferedBytes' | 'flows'>]: number };

const SWEEP_MS = 1_000;
const RESUME_WITHIN_MS = 5_000;
/** Connections of one peer, each with its own bounds: the newest, and those before it that drain or are dead. */
const MOST_CHANNELS = 4;
/** Ids of sessions that were given up, kept until the peer opens them. */
const GIVEN_UP = 1024;

/** Frames to and from one peer. */
export class FrameLink {
  readonly #options: FrameLinkOptions;
  readonly #channels = new Set<FrameChannel>();
  readonly #sessions = new Map<string, LinkSession>();
  readonly #unopened: UnopenedSessions;
  readonly #givenUp = new Set<string>();
  #current: FrameChannel | undefined;
  /** When the last connection ended, if there is none now. */
  #lostMs: number | undefined;
  #past: Totals = { framesIn: 0, framesOut: 0, payloadBytesIn: 0, payloadBytesOut: 0, dropped: 0 };
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: FrameLinkOptions) {
    this.#options = options;
    const { clock, maxUnopened = 256, unopenedMs = 30_000 } = options;
    this.#unopened = new UnopenedSessions({ most: maxUnopened, waitMs: unopenedMs, nowMs: () => clock.monotonicMs() });
  }

  /** Whether sessions can be opened. */
  get usable(): boolean {
    return this.#usable() !== undefined;
  }

  /**
   * Takes a connection to the peer, verified by the mesh. Once the peer serves it, new sessions go there and the one
   * before drains and closes.
   */
  attach(stream: Duplex): FrameChannel {
    const { peer, limits, onBroken } = this.#options;
    const channel = new FrameChannel(stream, {
      peer,
      ...(limits && { limits }),
      onFlow: (flow) => this.#arrived(flow, channel),
      onBroken,
    });
    this.#channels.add(channel);
    const [oldest] = this.#channels;
    if (this.#channels.size > MOST_CHANNELS) oldest?.close('too many newer connections');
    void channel.ready.then(
      () => {
        const before = this.#current;
        this.#current = channel;
        if (before !== channel) before?.retire();
        this.#resume();
      },
      () => undefined, // it ended first, which `closed` tells
    );
    let isDrained = false;
    void channel.drained.then(() => {
      isDrained = true;
      channel.close(RENEWED);
    });
    void channel.closed.then(() => this.#detach(channel, isDrained));
    return channel;
  }

  /**
   * Opens the session of this id (32 bytes, used once). The peer opens it, too; who is first does not matter.
   *
   * @throws KmsError `ALREADY_EXISTS` for an open one, `UNAVAILABLE` without a connection, unless there was one a moment
   * ago and the session can be resumed on the next; `RESOURCE_EXHAUSTED` at the limit of open sessions.
   */
  open(sessionId: Uint8Array, { resend }: SessionOptions = {}): FrameSession {
    const id = toHex(sessionId);
    const channel = this.#usable();
    if (this.#sessions.has(id)) throw new KmsError('ALREADY_EXISTS', 'this session is open');
    // A connection has just ended, and another one may be about to come.
    const isBetween = this.#lostMs !== undefined && this.#lostMs > this.#resumableSinceMs();
    if (!channel && !(resend && isBetween)) throw this.#unavailable();
    const session = new LinkSession(id, {
      nowMs: () => this.#options.clock.monotonicMs(),
      openFlow: (on, failed) => on.openFlow(sessionId, failed),
      forget: (opened) => {
        if (this.#sessions.get(id) === session && this.#sessions.delete(id) && !opened) this.#remember(id);
      },
      onLost: () => this.#watch(),
      resend,
    });
    if (channel) session.begin(channel);
    this.#sessions.set(id, session);
    const waiting = this.#unopened.take(id);
    if (waiting) session.meet(waiting.flow, waiting.channel);
    else if (!channel) session.lost();
    return session;
  }

  /** What went over all its connections. */
  stats(): FrameLinkStats {
    const sum = { ...this.#past, bufferedBytes: 0, flows: 0 };
    for (const channel of this.#channels) {
      const counters = channel.counters();
      addCounters(sum, counters);
      sum.bufferedBytes += counters.bufferedBytes;
      sum.flows += counters.flows;
    }
    const { size: connections } = this.#channels;
    return { ...sum, connections, sessions: this.#sessions.size, unopened: this.#unopened.size };
  }

  /** Ends all connections; sessions fail with `UNAVAILABLE`. */
  close(reason: string): void {
    for (const channel of this.#channels) channel.close(reason);
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  /**
   * The channel for new sessions. While the peer has retired one and its greeting on the next is still on its way, that
   * is one which the peer has not greeted yet; what is sent there waits for the greeting.
   */
  #usable(): FrameChannel | undefined {
    return this.#current?.usable ? this.#current : [...this.#channels].findLast(({ usable }) => usable);
  }

  #unavailable(): KmsError {
    return new KmsError('UNAVAILABLE', `no connection to ${this.#options.peer}`);
  }

  #resumableSinceMs(): number {
    const { clock, resumeWithinMs = RESUME_WITHIN_MS } = this.#options;
    return clock.monotonicMs() - resumeWithinMs;
  }

  /** Sessions whose connection was lost go on where they can. */
  #resume(): void {
    const channel = this.#usable();
    if (!channel) return;
    this.#lostMs = undefined;
    for (const session of this.#sessions.values()) session.resume(channel);
  }

  /** Given up here before the peer opened it: it must not take the place of one that will be opened here, too. */
  #remember(id: string): void {
    this.#givenUp.add(id);
    const [oldest] = this.#givenUp;
    if (this.#givenUp.size > GIVEN_UP && oldest !== undefined) this.#givenUp.delete(oldest);
  }

  #arrived(flow: InFlow, channel: FrameChannel): void {
    const session = this.#sessions.get(flow.sessionId);
    if (session) {
      session.meet(flow, channel);
      return;
    }
    if (this.#givenUp.delete(flow.sessionId)) {
      flow.stop();
      return;
    }
    if (!this.#unopened.put({ flow, channel })) return;
    this.#watch();
    this.#options.onUnopened?.(flow.sessionId);
  }

  #watch(): void {
    this.#sweeper ??= setInterval(() => this.sweep(), SWEEP_MS).unref();
  }

  /** Drops sessions of the peer that nobody has opened here, or the peer not again, in time. Runs by itself every second. */
  sweep(): void {
    this.#unopened.sweep();
    const resumableMs = this.#resumableSinceMs();
    const lost = [...this.#sessions.values()].filter(({ lostMs }) => lostMs !== undefined);
    for (const session of lost) if ((session.lostMs ?? 0) <= resumableMs) session.giveUp(this.#unavailable());
    if (this.#unopened.size > 0 || lost.length > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  #detach(channel: FrameChannel, isDrained: boolean): void {
    this.#channels.delete(channel);
    addCounters(this.#past, channel.counters());
    if (this.#current === channel) this.#current = undefined;
    this.#unopened.dropFailed();
    if (!this.usable) this.#lostMs = this.#options.clock.monotonicMs();
    if (isDrained) return;
    for (const session of this.#sessions.values()) session.detached(channel);
    this.#resume();
  }
}

function addCounters(sum: Totals, more: FrameCounters): void {
  sum.framesIn += more.framesIn;
  sum.framesOut += more.framesOut;
  sum.payloadBytesIn += more.payloadBytesIn;
  sum.payloadBytesOut += more.payloadBytesOut;
  sum.dropped += more.dropped;
}
