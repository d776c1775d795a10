/**
 * The engine's side of the mesh: who it says it is, what it trusts, and the endpoint that proves and verifies both.
 *
 * Nothing here is secret but what the identity's `sign` closes over. Design §3, §4.
 */
import type { Nsm } from '../../attestation/attester/attester.ts';
import { matchMeasurements, type TrustAnchor, type VerifiedDocument } from '../../attestation/document/index.ts';
import { openMeshEndpoint } from '../../attestation/mesh/endpoint.ts';
import type { Hello, MeshEndpoint } from '../../attestation/mesh/mesh-context.ts';
import { PeerTable } from '../../attestation/mesh/peer-table.ts';
import { governedView } from '../../attestation/node/governed-view.ts';
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import { meshIdentity } from './mesh-identity.ts';

/** What the mesh side is made of. */
export interface EngineMeshOptions {
  readonly nsm: Nsm;
  readonly anchor: TrustAnchor;
  /** This engine's own document, verified at start. */
  readonly document: VerifiedDocument;
  /** Undefined: the engine has lost its vault, and its own Core alone will speak to it. */
  readonly key: NodeKey | undefined;
  readonly governance: GovernanceMemory;
  readonly incarnation: number;
  /** State of a sealed vault, and the policy of the key that it is sealed under. */
  readonly vault?: HelloVault | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a hello says of a sealed vault. */
export interface HelloVault {
  readonly head: { readonly point: { readonly sequence: number; readonly digest: Uint8Array } | undefined };
  /** 48 bytes; undefined where there is no root key. */
  readonly keyPolicyHash: Uint8Array | undefined;
}

/** See the file comment. */
export interface EngineMesh {
  readonly endpoint: MeshEndpoint;
  /** Whom this engine has met. */
  readonly peers: PeerTable;
  /** The release that this engine's measurement belongs to at this moment; `unreleased` if to none. */
  release(): string;
}

/** Name of the release of an engine that no release set in force names. */
export const UNRELEASED = 'unreleased';
/** Of an engine whose vault is in clear: no key policy, no manifest, the version before the first. */
const NO_HASH = new Uint8Array(48);

/** Opens the endpoint; its first leaf is made by the first connection. */
export async function openEngineMesh(options: EngineMeshOptions): Promise<EngineMesh> {
  const { nsm, anchor, document, key, governance, incarnation, vault, clock, log } = options;
  const { book } = governance;
  const { network, party } = book.charter;
  const view = governedView({ book, anchor, clock });
  const identity = key && (await meshIdentity(key, { network, party }));
  const hello = (): Hello => ({
    releaseSetVersion: book.versions.releases,
    recordVersion: book.versions.record,
    keyPolicyHash: vault?.keyPolicyHash ?? NO_HASH,
    manifestVersion: vault?.head.point?.sequence ?? 0,
    manifestHead: vault?.head.point?.digest ?? NO_HASH,
    identityCertificate: identity?.certificate,
  });
  const self = {
    role: 'engine' as const,
    party,
    network,
    get context() {
      return view.context();
    },
    incarnation,
    moduleId: document.moduleId,
    attester: nsm,
    identity,
    awaitsRestore: identity === undefined,
    hello,
  };
  const endpoint = await openMeshEndpoint({ self, view, clock, log });
  const release = (): string =>
    matchMeasurements(
      document,
      view.measurements().filter(({ role }) => role === 'engine'),
    ).matched?.release ?? UNRELEASED;
  const peers = new PeerTable(clock);
  peers.expect({ role: 'core', party });
  return { endpoint, peers, release };
}
