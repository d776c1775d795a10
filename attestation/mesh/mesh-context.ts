/**
 * The faces of the mesh: what a process says of itself, what it knows of the others, and what a verified
 * connection is. Nothing here decides anything; `judge.ts` does. Nothing here is secret but what
 * {@link MeshIdentity.sign} closes over. Design §3 "Identity is not measurement", §4.
 */
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import type { Attester } from '../attester/attester.ts';
import type { ChainCache, Measurement, TrustAnchor } from '../document/index.ts';
import type { Role, Service } from '../role.ts';
import type { MeshLeaf } from './leaf.ts';

/** What an Ed25519 key that is certified is for: connections, or the records of starts. */
export type IdentityPurpose = 'mesh' | 'record';

/** Says which party an Ed25519 key speaks for: the party's secp256k1 node key has signed these fields. */
export interface IdentityCertificate<Purpose extends IdentityPurpose = 'mesh'> {
  readonly network: string;
  /** 1-based. */
  readonly party: number;
  readonly purpose: Purpose;
  /** Ed25519, 32 bytes. */
  readonly key: Uint8Array;
  /** r ‖ s ‖ v, 65 bytes, v in 0, 1, 27, 28. */
  readonly signature: Uint8Array;
}

/** A party's mesh key. Only engines have one. */
export interface MeshIdentity {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly certificate: IdentityCertificate;
  /** Returns the 64-byte Ed25519 signature. */
  sign(data: Uint8Array): Uint8Array;
}

/** What each side tells the other in its proof; SHA-256 of its canonical CBOR stands in the proof. */
export interface Hello {
  readonly releaseSetVersion: number;
  readonly recordVersion: number;
  /** SHA-384 of the policy of the root key that its vault is sealed under, 48 bytes; zeros for none. */
  readonly keyPolicyHash: Uint8Array;
  /** Number of its vault's manifest; 0 for none. */
  readonly manifestVersion: number;
  /** Digest of that manifest, at most 64 bytes. */
  readonly manifestHead: Uint8Array;
  readonly identityCertificate: IdentityCertificate | undefined;
}

/** Who this process is. The getters may change while it runs (a new context); open connections are then re-judged. */
export interface MeshSelf {
  readonly role: Role;
  readonly party: number;
  readonly network: string;
  /** 32 bytes. */
  readonly context: Uint8Array;
  readonly incarnation: number;
  readonly moduleId: string;
  readonly attester: Attester;
  /** Undefined for a Core or Connector: they have no party key. An engine has one, unless it waits to be restored. */
  readonly identity: MeshIdentity | undefined;
  /** Of an engine that has lost its vault: it has no party key, and its own Core alone accepts it. */
  readonly awaitsRestore?: boolean;
  hello(): Hello;
}

/** What this process knows of one party. */
export interface PartyView {
  readonly party: number;
  /** 20 bytes; undefined while not enrolled, which is accepted for `engine-calls` on the same instance only. */
  readonly address: Uint8Array | undefined;
  /** Expected PCR16 of its engine, 48 bytes. */
  readonly pcr16: Uint8Array;
  /** Policy of the root key that governance has named, 48 bytes; any policy if absent. */
  readonly keyPolicyHash?: Uint8Array | undefined;
  /** Highest incarnation seen; a lower one is refused. */
  readonly minIncarnation: number;
}

/** What this process trusts and knows, as it is at this moment. */
export interface MeshView {
  readonly anchor: TrustAnchor;
  readonly network: string;
  /** 32 bytes. */
  context(): Uint8Array;
  party(party: number): PartyView | undefined;
  measurements(): readonly Measurement[];
  /** Remembers that a verified peer showed this incarnation. */
  noteIncarnation(party: number, incarnation: number): void;
  /** Calls the listener after each change of any answer above, until the returned function is called. */
  onChange(listener: () => void): () => void;
}

/** Bounds of a handshake. None of them can widen what design §4 fixes: age and skew of 60 s are upper bounds. */
export interface MeshLimits {
  /** From the first byte of TLS to both verdicts. */
  readonly handshakeTimeoutMs: number;
  /** Longest wait for the attester within a handshake. */
  readonly attestTimeoutMs: number;
  /** Oldest proof, at most 60,000. */
  readonly maxProofAgeMs: number;
  /** Largest difference of clocks, at most 60,000. */
  readonly maxSkewMs: number;
  /** Largest leaf certificate, at most 32 KiB. */
  readonly maxLeafBytes: number;
  /** Largest message of the handshake, at most 32 KiB. */
  readonly maxMessageBytes: number;
}

/** How an endpoint is. */
export interface MeshHealth {
  /** Whether the endpoint can still open and accept connections. */
  readonly ok: boolean;
  /** Everything that is wrong, for people; empty when nothing is. */
  readonly reasons: readonly string[];
  /** When the present leaf ends, in milliseconds since 1970: an alarm gauge counts down to it. */
  readonly leafExpiresMs: number;
  /** Failed renewals since the last good one. */
  readonly failedRenewals: number;
}

/** One process's side of the mesh: its leaf, its view, its open connections. */
export interface MeshEndpoint {
  readonly self: MeshSelf;
  readonly view: MeshView;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: MeshLimits;
  /** Verified certificate prefixes, shared by all handshakes of this endpoint. */
  readonly chains: ChainCache;
  /**
   * Returns the present leaf, renewed at two thirds of its life.
   *
   * @throws KmsError `UNAVAILABLE` when the last leaf has expired and the attester gives no new one: fail closed.
   */
  leaf(): Promise<MeshLeaf>;
  health(): MeshHealth;
  /** Verified connections that are open now. */
  connections(): readonly MeshConnection[];
  /** Registers a connection to be re-judged until it closes. Only the handshake calls this. */
  adopt(connection: JudgedConnection): void;
  /** Does at once what the endpoint's timer does each second: renews the leaf if due, re-judges all connections. */
  tick(): Promise<void>;
  /** Closes all connections and stops the timer. The attester stays open: it belongs to who made it. */
  close(): Promise<void>;
}

/** What is proven of the other side. */
export interface MeshPeer {
  readonly role: Role;
  readonly party: number;
  /** Node address that its identity certificate recovers to; undefined for a Core, a Connector, an engine to restore. */
  readonly address: Uint8Array | undefined;
  /** Name of the release that its measurement belongs to. */
  readonly release: string;
  readonly moduleId: string;
  readonly instanceId: string;
  readonly incarnation: number;
  /** Its clock minus ours, from the signed time of its proof; precise to the handshake's duration. */
  readonly skewMs: number;
  /** When its leaf ends. */
  readonly notAfterMs: number;
  /** SHA-256 of its leaf: tells its process from others of the party. */
  readonly leafSha256: Uint8Array;
  readonly hello: Hello;
}

/** A connection on which both sides have verified each other. */
export interface MeshConnection {
  /** Paused, complete from the first application byte on, all earlier writes acknowledged by the kernel. */
  readonly stream: TLSSocket;
  readonly peer: MeshPeer;
  readonly service: Service;
  /** When to have a new connection open: two thirds of the shorter life of both leaves. */
  readonly renewAtMs: number;
  /** When it is closed in any case: no connection outlives either leaf. */
  readonly closeAtMs: number;
  /** Resolves with the reason once the connection is closed. */
  readonly closed: Promise<string>;
  close(reason: string): void;
  /** Says why it is about to end, for the log: whoever uses the stream ends it, once what was written has left. */
  explain(reason: string): void;
}

/** A connection as its endpoint sees it. */
export interface JudgedConnection extends MeshConnection {
  /** Judges the peer again by the present view; closes the connection if it would not be accepted now. */
  rejudge(): void;
}

/** Whom a side is ready to talk to. */
export interface PeerExpectation {
  readonly service: Service;
  readonly role: Role | readonly Role[];
  /** The only party that will do; any party of the view if absent. */
  readonly party?: number;
  /** The peer must be the other half of this instance: enclave and parent. Always so for `engine-calls`. */
  readonly sameInstance?: boolean;
}
