/**
 * One engine's side of the network of engines: an attested frame link to each other party of the governed record, and
 * what all quorums, contexts and ceremonies share on it: channels, meetings, reachability, bandwidth, faults, gossip.
 *
 * Frames may be shares: nothing here reads, logs or quotes one. Design §4, §5; format: docs/formats/peer-frames.md.
 */
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import type { Dial, Transport } from '../../attestation/mesh/transport.ts';
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import type { RandomSource } from '../../common/random.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import type { EngineMesh } from '../mesh/engine-mesh.ts';
import type { FaultLedger } from '../threshold/fault-ledger.ts';
import type { QuorumLinks } from '../threshold/quorum-links.ts';
import { Network } from './network.ts';

/** What a network is made of. */
export interface PeerNetworkOptions {
  readonly mesh: EngineMesh;
  readonly governance: GovernanceMemory;
  /** Where the other engines reach this one. */
  readonly transport: Transport;
  /** How an endpoint of the record is dialled. @throws KmsError `CONFIG_INVALID` if it is no address. */
  readonly dial: (endpoint: string) => Dial;
  readonly random: RandomSource;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What all of some parties are to begin at the same time. */
export interface Meeting {
  /** What it is for: 1 to 32 printable ASCII characters. */
  readonly kind: string;
  /** 32 bytes: of the request, context or epoch. */
  readonly id: Uint8Array;
  /** 32 bytes over what is to be done: parties that mean something else do not meet. */
  readonly digest: Uint8Array;
  /** Everybody, this engine included or not. */
  readonly parties: readonly number[];
  /** How long the others are waited for. Default 5 minutes. */
  readonly withinMs?: number;
}

/** How one party was reached just now. */
export interface PartyReach {
  readonly party: number;
  /** Where the governed record says that it listens; empty if it says nothing. */
  readonly endpoint: string;
  readonly reachable: boolean;
  /** Of one round trip over the connection that stands; 0 if it was not reached. */
  readonly latencyMs: number;
  /** Why it was not, for people; empty if it was. */
  readonly error: string;
}

/** What a bandwidth test sends to each of its parties. */
export interface BandwidthTest {
  /** This engine is left out. */
  readonly parties: readonly number[];
  /** `once`: one payload on each session; `duration`: one after the other until the time is over. */
  readonly kind: 'once' | 'duration';
  /** At most 60 s; ignored by `once`. */
  readonly durationMs: number;
  /** Sessions to each party at the same time, 1 to 256. */
  readonly sessions: number;
  /** Size of one payload, at most 256 MiB; with all sessions of a party at most 1 GiB. */
  readonly payloadBytes: number;
}

/** Milliseconds from the first byte of a payload to the word that all of it has come; 0 if none came through. */
export interface Latencies {
  readonly average: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly slowest: number;
  readonly fastest: number;
}

/** What went to one party. */
export interface PartyBandwidth {
  readonly party: number;
  readonly endpoint: string;
  /** Payload bytes that the party has said to have. */
  readonly bytesSent: number;
  readonly durationMs: number;
  readonly latency: Latencies;
}

/** A channel of frames to and from all other parties. */
export interface PeerChannel extends QuorumLinks {
  /** Gives up the name; what comes for it from then on is dropped. */
  close(): void;
}

/** See the file comment. */
export interface PeerNetwork {
  /** A link to each other party of the governed record; the map follows the record. */
  readonly links: ReadonlyMap<number, FrameLink>;
  /** Shared by all quorums; its counts stand in the rows of `arca peers`. */
  readonly ledger: FaultLedger;
  /** Frames that came for no channel that is open here, as from a peer which has an epoch that is not here yet. */
  readonly unknownFrames: number;
  /**
   * Opens a channel. All of them share one session to each peer, and frames on different ones stay in order.
   *
   * @param name - The same at all parties.
   * @throws KmsError `ALREADY_EXISTS` while another channel here has the name.
   */
  channel(name: string): PeerChannel;
  /**
   * Resolves when every party of the meeting is in it, at all of them within about one round trip.
   *
   * A meeting that has ended may be held again: every call is a meeting of its own, told apart by fresh nonces.
   *
   * @returns SHA-256 over the nonces of all parties in their order: the same at all parties that have told the truth and
   *   did not start again meanwhile, and of no meeting before. No more is promised: a session under it must hold alone.
   * @throws KmsError `REQUEST_INVALID` for a bad meeting, `ALREADY_EXISTS` while one of this kind and id is under way
   *   here, `ABORTED` when a party means something else, `UNAVAILABLE` naming who is missing, `CANCELLED` by the signal.
   */
  meet(meeting: Meeting, signal: AbortSignal): Promise<Uint8Array>;
  /** Tries all given parties at once, 2 s at most, over the connections that stand. This engine is left out. */
  reach(parties: readonly number[], signal: AbortSignal): Promise<readonly PartyReach[]>;
  /**
   * Measures what can be sent to each party. One test at a time.
   *
   * @throws KmsError `REQUEST_INVALID` naming all limits that are broken, `RESOURCE_EXHAUSTED` while another one runs,
   *   `CANCELLED` by the signal.
   */
  bandwidth(test: BandwidthTest, signal: AbortSignal): Promise<readonly PartyBandwidth[]>;
  /** Stops listening and dialling and ends all connections. */
  close(): Promise<void>;
}

/**
 * Listens for engines of lower party numbers and dials those of higher ones, from now on.
 *
 * @throws KmsError what the transport's `listen` throws.
 */
export async function openPeerNetwork(options: PeerNetworkOptions): Promise<PeerNetwork> {
  const network = new Network(options);
  await network.listen();
  return network;
}
