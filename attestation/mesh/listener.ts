/**
 * The accepting side of the mesh: raw streams of strangers in, verified connections out, with a budget between.
 *
 * A stranger costs a plain socket until he has sent a ClientHello, and a TLS socket until he has proven who he is; both
 * are bounded and dropped when others need the room (`budget.ts`). What he sends is never logged.
 */
import type { Duplex } from 'node:stream';
import { isKmsError } from '../../common/errors.ts';
import { acceptMesh } from './accept.ts';
import { type BudgetLimits, type BudgetStats, HandshakeBudget, type Ticket } from './budget.ts';
import { awaitClientHello } from './client-hello.ts';
import type { MeshConnection, MeshEndpoint, PeerExpectation } from './mesh-context.ts';
import type { Transport } from './transport.ts';

/** What a listener listens on, as whom, for whom. */
export interface MeshListenerOptions {
  readonly transport: Transport;
  readonly endpoint: MeshEndpoint;
  readonly expect: PeerExpectation;
  /** Limits of an own budget, or a budget that several listeners share. */
  readonly budget?: Partial<BudgetLimits> | HandshakeBudget;
  /** Takes each verified connection; its stream is paused and complete. */
  readonly onConnection: (connection: MeshConnection) => void;
}

/** What a listener has seen. */
export interface MeshListenerStats extends BudgetStats {
  /** Streams that came. */
  readonly accepted: number;
  /** Of these, ended before or without a ClientHello: half-open, garbage, dropped. */
  readonly unspoken: number;
  /** Of these, refused in the handshake. */
  readonly refused: number;
  /** Of these, verified. */
  readonly verified: number;
}

/** A listener that is up. */
export interface MeshListener {
  readonly address: string;
  stats(): MeshListenerStats;
  /** Stops listening, ends handshakes and closes the connections that it has handed out. */
  close(): Promise<void>;
}

const CLIENT_HELLO_WITHIN_MS = 5_000;
/** How often a crowd at the door is worth a line, and how many strangers are one: a single knock is counted only. */
const REPORT_EVERY_MS = 10_000;
const CROWD = 10;

/**
 * Listens for verified connections.
 *
 * @throws KmsError what the transport's `listen` throws.
 */
export async function listenMesh(options: MeshListenerOptions): Promise<MeshListener> {
  const listener = new Listener(options);
  return await listener.open();
}

class Listener {
  readonly #options: MeshListenerOptions;
  readonly #budget: HandshakeBudget;
  #closing = false;
  /** Streams that are not verified yet, or whose connection is open, and what ends their handshake. */
  readonly #raws = new Map<Duplex, AbortController>();
  readonly #connections = new Set<MeshConnection>();
  readonly #counts = { accepted: 0, unspoken: 0, refused: 0, verified: 0 };
  #reportedAtMs = Number.NEGATIVE_INFINITY;
  #reported = 0;

  constructor(options: MeshListenerOptions) {
    this.#options = options;
    const { budget } = options;
    this.#budget = budget instanceof HandshakeBudget ? budget : new HandshakeBudget(budget);
  }

  async open(): Promise<MeshListener> {
    const listening = await this.#options.transport.listen((raw, source) => void this.#take(raw, source));
    return {
      address: listening.address,
      stats: () => ({ ...this.#counts, ...this.#budget.stats() }),
      close: async () => {
        this.#closing = true;
        for (const [raw, stop] of this.#raws) {
          stop.abort();
          raw.destroy();
        }
        for (const connection of this.#connections) connection.close('the listener was closed');
        await listening.close();
      },
    };
  }

  /** Takes a raw stream to its end as one. Never rejects. */
  async #take(raw: Duplex, source: string): Promise<void> {
    raw.on('error', () => raw.destroy());
    if (this.#closing || raw.destroyed) {
      raw.destroy();
      return;
    }
    this.#counts.accepted += 1;
    const stop = new AbortController();
    const shared = this.#options.transport.name !== 'tcp';
    const ticket = this.#budget.enter(source, shared, () => {
      stop.abort();
      raw.destroy();
    });
    this.#raws.set(raw, stop);
    raw.once('close', () => {
      this.#raws.delete(raw);
      ticket.leave();
    });
    try {
      await awaitClientHello(raw, CLIENT_HELLO_WITHIN_MS);
    } catch {
      this.#counts.unspoken += 1;
      raw.destroy();
      this.#report();
      return;
    }
    await this.#verify(raw, ticket, stop.signal);
  }

  async #verify(raw: Duplex, ticket: Ticket, stop: AbortSignal): Promise<void> {
    const { endpoint, expect, onConnection } = this.#options;
    ticket.speaks();
    let connection: MeshConnection;
    try {
      connection = await acceptMesh(raw, endpoint, expect, stop, ticket);
    } catch (error) {
      // acceptMesh has logged its refusal; anything else is a bug, and only this stranger's.
      if (!isKmsError(error)) endpoint.log.error({ event: 'mesh.accept.bug', err: error });
      this.#counts.refused += 1;
      raw.destroy();
      return;
    } finally {
      ticket.leave();
    }
    this.#counts.verified += 1;
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    try {
      onConnection(connection);
    } catch (error) {
      // One peer's connection must not end the process for the others.
      endpoint.log.error({ event: 'mesh.accept.bug', err: error });
      connection.close('it could not be served');
    }
  }

  #report(): void {
    const { endpoint, transport } = this.#options;
    const nowMs = endpoint.clock.monotonicMs();
    if (nowMs - this.#reportedAtMs < REPORT_EVERY_MS || this.#counts.unspoken - this.#reported < CROWD) return;
    this.#reportedAtMs = nowMs;
    this.#reported = this.#counts.unspoken;
    endpoint.log.warn({ event: 'mesh.strangers', transport: transport.name, ...this.#counts, ...this.#budget.stats() });
  }
}
