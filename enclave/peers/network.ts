/**
 * The network of engines, composed: who says what to whom. The face is `peer-network.ts`.
 *
 * Frames may be shares: nothing here reads one but those of the control channel. Format: docs/formats/peer-frames.md.
 */
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import { listenMesh, type MeshListener } from '../../attestation/mesh/listener.ts';
import { isKmsError } from '../../common/errors.ts';
import { FaultLedger } from '../threshold/fault-ledger.ts';
import { faultLog } from '../threshold/fault-log.ts';
import { MeshQuorumLinks } from '../threshold/mesh-links.ts';
import { PeerBytes, PeerRate } from '../threshold/peer-limits.ts';
import { systemQuorumTimers } from '../threshold/quorum-links.ts';
import { Bandwidth } from './bandwidth.ts';
import { BandwidthSink } from './bandwidth-session.ts';
import { type ControlMessage, encodeControl, parseControl } from './control-messages.ts';
import { GovernanceGossip } from './governance-gossip.ts';
import { Liveness } from './liveness.ts';
import { Meetings } from './meetings.ts';
import { PeerChannels } from './peer-channels.ts';
import { PeerLinks } from './peer-links.ts';
import type {
  BandwidthTest,
  Meeting,
  PartyBandwidth,
  PartyReach,
  PeerChannel,
  PeerNetwork,
  PeerNetworkOptions,
} from './peer-network.ts';
import { Reachability } from './reachability.ts';

/** Messages of the control channel that one peer may send in a second. */
const MESSAGES_PER_SECOND = 2_048;
/** Sessions of channels that one peer may open in a second: one for each connection, which takes a handshake. */
const OPENINGS_PER_SECOND = 32;
/** What may wait for one peer to take it; more is lost, and said again if it matters. */
const WAITING_BYTES = 4 * 1024 * 1024;
const CONTROL = 'control';

/** See the file comment. */
export class Network implements PeerNetwork {
  readonly ledger: FaultLedger;
  readonly #options: PeerNetworkOptions;
  readonly #peers: PeerLinks;
  readonly #sessions: MeshQuorumLinks;
  readonly #channels: PeerChannels;
  readonly #control: PeerChannel;
  readonly #waiting = new PeerBytes(WAITING_BYTES);
  readonly #rate = new PeerRate(MESSAGES_PER_SECOND);
  readonly #openings = new PeerRate(OPENINGS_PER_SECOND);
  readonly #meetings: Meetings;
  readonly #gossip: GovernanceGossip;
  readonly #reachability: Reachability;
  readonly #bandwidth: Bandwidth;
  readonly #liveness: Liveness;
  readonly #sink = new BandwidthSink();
  #listener: MeshListener | undefined;

  constructor(options: PeerNetworkOptions) {
    const { mesh, governance, random, clock, log } = options;
    const me = mesh.endpoint.self.party;
    const nowMs = (): number => clock.monotonicMs();
    const timers = systemQuorumTimers(nowMs);
    this.#options = options;
    this.ledger = new FaultLedger(nowMs, faultLog(log, nowMs));
    const onBroken = (party: number): void => this.ledger.note({ party, kind: 'malformed frame' });
    this.#peers = new PeerLinks({
      ...options,
      onVerified: (party, { peer: { hello } }) =>
        this.#gossip.met(party, { record: hello.recordVersion, releases: hello.releaseSetVersion }),
      onServed: (party) => this.#sessions.connected(party),
      onSession: (party, id) => this.#opened(party, id),
      onBroken,
    });
    const mayOpen = (party: number): boolean => this.#mayOpen(party);
    this.#sessions = new MeshQuorumLinks({ me, links: this.links, random, mayOpen, onBroken });
    this.#channels = new PeerChannels(this.#sessions);
    this.#control = this.#channels.open(CONTROL);
    const send = (to: number, message: ControlMessage): void => this.#send(to, message);
    const reachable = (): readonly number[] => this.#sessions.reachable();
    this.#meetings = new Meetings({ me, random, timers, send });
    this.#gossip = new GovernanceGossip({
      governance,
      timers,
      log,
      send,
      reachable,
      onFlood: (party) => this.ledger.note({ party, kind: 'flood' }),
    });
    this.#reachability = new Reachability({
      me,
      random,
      timers,
      send,
      reachable,
      describe: (party) => this.#row(party),
    });
    const endpoint = (party: number): string => this.#row(party).endpoint;
    this.#bandwidth = new Bandwidth({ me, links: this.links, random, timers, endpoint });
    const drop = (party: number, reason: string): void => this.#control.drop(party, reason);
    this.#liveness = new Liveness({ random, timers, send, reachable, drop });
    this.#control.listen({
      onFrame: (from, frame) => this.#take(from, frame),
      onConnected: (party) => {
        this.#liveness.heard(party);
        this.#gossip.connected(party);
        this.#meetings.connected(party);
      },
    });
  }

  get links(): ReadonlyMap<number, FrameLink> {
    return this.#peers.links;
  }

  /** Begins to take connections. @throws KmsError what the transport's `listen` throws. */
  async listen(): Promise<void> {
    const { mesh, transport } = this.#options;
    try {
      this.#listener = await listenMesh({
        transport,
        endpoint: mesh.endpoint,
        expect: { service: 'engine-data', role: 'engine' },
        onConnection: (connection) => this.#peers.accept(connection),
      });
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  get unknownFrames(): number {
    return this.#channels.unknown;
  }

  channel(name: string): PeerChannel {
    return this.#channels.open(name);
  }

  meet(meeting: Meeting, signal: AbortSignal): Promise<Uint8Array> {
    return this.#meetings.meet(meeting, signal);
  }

  reach(parties: readonly number[], signal: AbortSignal): Promise<readonly PartyReach[]> {
    return this.#reachability.reach(parties, signal);
  }

  bandwidth(test: BandwidthTest, signal: AbortSignal): Promise<readonly PartyBandwidth[]> {
    return this.#bandwidth.measure(test, signal);
  }

  async close(): Promise<void> {
    this.#liveness.close();
    this.#gossip.close();
    this.#meetings.close();
    this.#control.close();
    this.#channels.close();
    this.#sink.close();
    this.#sessions.close();
    // What was said last still leaves; the listener would cut it off.
    await this.#peers.close();
    await this.#listener?.close();
  }

  /** A session that the peer has opened; one of a protocol waits in its link until that begins here. */
  #opened(party: number, id: string): void {
    if (this.#sessions.opened(party, id)) return;
    const link = this.links.get(party);
    if (link) this.#sink.opened(party, link, id);
  }

  #mayOpen(party: number): boolean {
    if (this.#openings.take(party, 1, this.#options.clock.monotonicMs())) return true;
    this.ledger.note({ party, kind: 'flood' });
    return false;
  }

  /** It may be lost, with its connection or for a peer that does not read; whatever matters is then said again. */
  #send(to: number, message: ControlMessage): void {
    const frame = encodeControl(message);
    const { byteLength } = frame;
    if (!this.#waiting.take(to, byteLength)) return;
    void this.#control.send(to, frame).finally(() => this.#waiting.give(to, byteLength));
  }

  #take(from: number, frame: Uint8Array): void {
    if (!this.#rate.take(from, 1, this.#options.clock.monotonicMs())) {
      this.ledger.note({ party: from, kind: 'flood' });
      return;
    }
    this.#liveness.heard(from);
    const message = this.#parse(from, frame);
    switch (message?.type) {
      case 'ready':
        this.#meetings.take(from, message);
        break;
      case 'ping':
      case 'pong':
        this.#reachability.take(from, message);
        break;
      case 'offer':
        void this.#gossip.take(from, message.offer); // it tells the log what went wrong
        break;
    }
  }

  #parse(from: number, frame: Uint8Array): ControlMessage | undefined {
    try {
      return parseControl(frame);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      this.ledger.note({ party: from, kind: 'malformed frame' });
      this.#control.drop(from, `the engine of party ${from} sent what is no message`);
      return undefined;
    }
  }

  /** What `arca peers` says of an engine. */
  #row(party: number): { readonly endpoint: string; readonly reason: string } {
    const rows = this.#options.mesh.peers.rows();
    const row = rows.find((peer) => peer.role === 'engine' && peer.party === party);
    if (!row) return { endpoint: '', reason: 'the governed record names no such party' };
    const reason = row.reason ?? 'the connection stands, and the peer does not serve it yet';
    const { endpoint = '' } = row;
    return { endpoint, reason: row.endpoint === undefined ? 'the governed record names no endpoint' : reason };
  }
}
