/**
 * A frame link to each other engine of the governed record, kept connected: engines of higher party numbers are dialled,
 * those of lower ones dial. Follows the record: new parties, other endpoints, parties that are gone.
 *
 * Who a peer is was proven before its connection comes here. Nothing here is secret. Design §4.
 */
import { meshDialer } from '../../attestation/mesh/dialer.ts';
import { dialFrames } from '../../attestation/mesh/frame-dialer.ts';
import { FrameLink } from '../../attestation/mesh/frame-link.ts';
import type { MeshConnection } from '../../attestation/mesh/mesh-context.ts';
import type { Renewable, RenewingLink } from '../../attestation/mesh/renewing.ts';
import type { Dial } from '../../attestation/mesh/transport.ts';
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import type { EngineMesh } from '../mesh/engine-mesh.ts';
import { MAX_CONTROL_BYTES } from './control-messages.ts';
import { CHANNEL_TAG_BYTES } from './peer-channels.ts';

/** Settings of {@link PeerLinks}. */
export interface PeerLinksOptions {
  readonly mesh: EngineMesh;
  readonly governance: Pick<GovernanceMemory, 'book'>;
  readonly dial: (endpoint: string) => Dial;
  readonly clock: Clock;
  readonly log: Logger;
  /** A verified connection came, before anything goes over it. */
  readonly onVerified: (party: number, connection: MeshConnection) => void;
  /** The peer serves a new connection: sessions can be opened on it. */
  readonly onServed: (party: number) => void;
  /** The peer has opened a session. */
  readonly onSession: (party: number, id: string) => void;
  /** The peer has broken the frame protocol; its connection ends. */
  readonly onBroken: (party: number) => void;
}

interface Peer {
  readonly link: FrameLink;
  endpoint: string | undefined;
  dialer: RenewingLink<Renewable> | undefined;
}

/** A party that starts late is found soon; one that is away for long costs a hundred bytes a second. */
const RETRY_MS = { first: 50, longest: 500 };
/** Renewals of engines that started together are spread over this share of what is left of their certificates. */
const SPREAD = 0.1;
/** The largest message of all channels. */
const MAX_PAYLOAD_BYTES = CHANNEL_TAG_BYTES + MAX_CONTROL_BYTES;

/** See the file comment. */
export class PeerLinks {
  /** By party; follows the record. */
  readonly links = new Map<number, FrameLink>();
  readonly #options: PeerLinksOptions;
  readonly #me: number;
  readonly #peers = new Map<number, Peer>();
  readonly #closing = new Set<Promise<void>>();
  readonly #open = new Set<Promise<string>>();
  readonly #forget: () => void;
  #closed = false;

  /** Dials whom the record names. */
  constructor(options: PeerLinksOptions) {
    this.#options = options;
    this.#me = options.mesh.endpoint.self.party;
    this.#forget = options.governance.book.onChange(() => this.#follow());
    this.#follow();
  }

  /** Where the record says that a party listens. */
  endpoint(party: number): string | undefined {
    return this.#peers.get(party)?.endpoint;
  }

  /** Takes a verified connection that another engine has opened. */
  accept(connection: MeshConnection): void {
    const { party } = connection.peer;
    const peer = this.#peers.get(party);
    if (!peer || this.#closed) {
      connection.close('the governed record names no such engine');
      return;
    }
    if (party > this.#me) {
      // Two that dial each other would replace each other's connections for ever.
      connection.close('the engine of the lower party number dials');
      return;
    }
    this.#verified(party, connection);
    const channel = peer.link.attach(connection.stream);
    void channel.closed.then((reason) => connection.explain(reason));
    channel.ready.then(
      () => this.#options.onServed(party),
      () => undefined, // it ended first, which the connection's own end tells
    );
  }

  /** Ends all connections, once what was written has left or a second has passed, and dials no more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#forget();
    for (const party of [...this.#peers.keys()]) this.#drop(party, 'the engine stops');
    await Promise.all([...this.#closing, ...this.#open]);
  }

  #follow(): void {
    if (this.#closed) return;
    const named = this.#options.governance.book.record?.body.parties ?? [];
    const others = new Map(named.filter(({ party }) => party !== this.#me).map((entry) => [entry.party, entry]));
    for (const party of [...this.#peers.keys()]) {
      if (others.has(party)) continue;
      this.#drop(party, 'the governed record names this party no more');
      this.#options.mesh.peers.forget({ role: 'engine', party });
    }
    for (const [party, { endpoint }] of others) this.#keep(party, endpoint);
  }

  #keep(party: number, endpoint: string | undefined): void {
    const { mesh, onSession, onBroken, clock } = this.#options;
    const known = this.#peers.get(party);
    const link =
      known?.link ??
      new FrameLink({
        peer: `engine of party ${party}`,
        clock,
        limits: { maxPayloadBytes: MAX_PAYLOAD_BYTES },
        onUnopened: (id) => onSession(party, id),
        onBroken: () => onBroken(party),
      });
    const peer = known ?? { link, endpoint: undefined, dialer: undefined };
    this.#peers.set(party, peer);
    this.links.set(party, link);
    mesh.peers.expect({ role: 'engine', party }, endpoint);
    if (peer.endpoint === endpoint) return;
    peer.endpoint = endpoint;
    this.#stop(peer, 'the governed record names another endpoint');
    if (endpoint !== undefined && party > this.#me) peer.dialer = this.#dial(party, link, endpoint);
  }

  #dial(party: number, link: FrameLink, address: string): RenewingLink<Renewable> {
    const { mesh, dial, clock, log, onServed } = this.#options;
    const { endpoint, peers } = mesh;
    const expect = { service: 'engine-data', role: 'engine', party } as const;
    return dialFrames({
      dial: async (signal) => {
        try {
          // An endpoint that is no address is one that cannot be dialled, not the end of the others.
          const open = meshDialer({ dial: (within) => dial(address)(within), endpoint, expect });
          const connection = await open(signal);
          this.#verified(party, connection);
          return { ...connection, renewAtMs: spreadRenewal(connection, this.#me, party) };
        } catch (error) {
          peers.failed({ role: 'engine', party }, error);
          throw error;
        }
      },
      link,
      onServed: () => onServed(party),
      peer: `engine of party ${party}`,
      retryMs: RETRY_MS,
      clock,
      log,
    });
  }

  #verified(party: number, connection: MeshConnection): void {
    this.#options.mesh.peers.connected(connection);
    this.#options.onVerified(party, connection);
    const { closed } = connection;
    this.#open.add(closed);
    void closed.then(() => this.#open.delete(closed));
  }

  #drop(party: number, reason: string): void {
    const peer = this.#peers.get(party);
    if (!peer) return;
    this.#stop(peer, reason);
    peer.link.close(reason);
    this.#peers.delete(party);
    this.links.delete(party);
  }

  #stop(peer: Peer, reason: string): void {
    const closed = peer.dialer?.close(reason);
    peer.dialer = undefined;
    if (!closed) return;
    this.#closing.add(closed);
    void closed.finally(() => this.#closing.delete(closed));
  }
}

/** Later for some pairs than for others: a handshake costs tens of milliseconds, and a quorum has many at the same time. */
function spreadRenewal({ renewAtMs, closeAtMs }: MeshConnection, me: number, party: number): number {
  const place = ((me * 29 + party * 17) % 64) / 64;
  return renewAtMs + (closeAtMs - renewAtMs) * SPREAD * place;
}
