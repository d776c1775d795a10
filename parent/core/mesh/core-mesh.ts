/**
 * The Core's side of the mesh: attested connections to the engine of its own instance, and from connectors.
 *
 * Holds no secret but the leaf's key, which the endpoint keeps. What the Core trusts comes from its files and from the
 * engine, and is believed for its signatures alone. Design §3, §4.
 */
import type { Duplex } from 'node:stream';
import type { Attester } from '../../../attestation/attester/attester.ts';
import { type TrustAnchor, verifyLiveDocument } from '../../../attestation/document/index.ts';
import type { Charter, GovernanceBook } from '../../../attestation/governance/index.ts';
import { openMeshEndpoint } from '../../../attestation/mesh/endpoint.ts';
import type { MeshListener } from '../../../attestation/mesh/listener.ts';
import type { Hello, MeshEndpoint } from '../../../attestation/mesh/mesh-context.ts';
import { registerMeshMetrics } from '../../../attestation/mesh/metrics.ts';
import { PeerTable } from '../../../attestation/mesh/peer-table.ts';
import { unixDial } from '../../../attestation/mesh/transport-unix.ts';
import { governedView } from '../../../attestation/node/governed-view.ts';
import type { NodeFiles } from '../../../attestation/node/node-files.ts';
import type { Clock } from '../../../common/clock.ts';
import type { Logger } from '../../../common/log.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { GovernanceState } from '../../../proto/gen/engine_pb.js';
import type { PeerInit } from '../admin/admin-service.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';
import { meshEngineDialer } from '../engine-client/mesh-dialer.ts';
import type { EngineDialer } from '../engine-client/reconnecting-client.ts';
import { listenForConnectors } from './connector-listener.ts';
import { watchEngineAttester } from './engine-attester.ts';
import { followGovernance } from './follow-governance.ts';
import { openGovernanceFiles } from './governance-files.ts';
import { peerRows } from './peer-rows.ts';
import { openVaultMemory } from './vault-memory.ts';

/** How a Core reaches others; `runCore` knows nothing of what is behind it. */
export interface CoreMesh {
  /** Opens connections to the engine. */
  readonly dial: EngineDialer;
  /** The endpoint, for attested certificates; a test without a mesh has none. */
  readonly endpoint?: MeshEndpoint | undefined;
  /** This node's number, by its charter; a test without a mesh has none. */
  readonly party?: number | undefined;
  /** Registers the metrics of the mesh. */
  registerMetrics(registry: MetricsRegistry): void;
  /** Keeps up with what the engine knows of governance; returns how to stop that. */
  follow(engine: EngineClient): () => void;
  /** Takes what the engine has just answered about governance. */
  takeGovernance(state: GovernanceState): void;
  /** Forgets what the engine said of its vault, which has been restored. */
  forgetVault?(): Promise<void>;
  /** Serves connectors, if the configuration names a socket for them. */
  serveConnectors(inject: InjectPeer): Promise<void>;
  /** Whom the Core is connected to, or should be. */
  peers(): readonly PeerInit[];
  /** Reasons not to serve, for people. */
  reasons(): readonly string[];
  close(): Promise<void>;
}

/** Takes a verified stream of a connector. */
export type InjectPeer = (stream: Duplex, peer: { readonly role: string; readonly party: number }) => void;

/** What a Core is attested under. */
export interface CoreAttestation extends NodeFiles {
  readonly attester: Attester;
  /** The one root of this program. */
  readonly anchor: TrustAnchor;
}

/** Settings of {@link openCoreMesh}. */
export interface CoreMeshOptions {
  readonly config: NodeConfig;
  readonly attestation: CoreAttestation;
  readonly clock: Clock;
  readonly log: Logger;
}

const DAY_MS = 86_400_000;
/** A Core has neither key policy nor manifest, and no vault to count its starts in. */
const NO_HASH = new Uint8Array(48);
const NO_INCARNATION = 0;

/**
 * Opens the endpoint of a Core with its first leaf.
 *
 * @throws KmsError `STATE_INVALID` if no governed record or release set is in force, `ATTESTATION_INVALID` if the own
 *   document does not verify under the anchor, or what the attester throws.
 */
export async function openCoreMesh({ config, attestation, clock, log }: CoreMeshOptions): Promise<CoreMesh> {
  const { attester, anchor, charter } = attestation;
  const files = openGovernanceFiles({ config, files: attestation, clock, log });
  const view = governedView({ book: files.book, anchor, clock });
  const moduleId = await ownModuleId(attestation, clock);
  const self = {
    role: 'core' as const,
    party: charter.party,
    network: charter.network,
    get context() {
      return view.context();
    },
    incarnation: NO_INCARNATION,
    moduleId,
    attester,
    identity: undefined,
    hello: (): Hello => ({
      releaseSetVersion: files.book.versions.releases,
      recordVersion: files.book.versions.record,
      keyPolicyHash: NO_HASH,
      manifestVersion: 0,
      manifestHead: NO_HASH,
      identityCertificate: undefined,
    }),
  };
  const endpoint = await openMeshEndpoint({ self, view, clock, log });
  return compose({ config, charter, endpoint, files, clock, log });
}

interface Parts extends Pick<CoreMeshOptions, 'config' | 'clock' | 'log'> {
  readonly charter: Charter;
  readonly endpoint: MeshEndpoint;
  readonly files: ReturnType<typeof openGovernanceFiles>;
}

function compose({ config, charter, endpoint, files, clock, log }: Parts): CoreMesh {
  let connectors: MeshListener | undefined;
  const table = new PeerTable(clock);
  const attester = watchEngineAttester(clock);
  const memory = openVaultMemory(config, log);
  const take = (state: GovernanceState): void => {
    files.take(state);
    memory.take(state);
  };
  const dial = unixDial(config.engine.socket_path);
  return {
    dial: meshEngineDialer({ dial, endpoint, party: charter.party, peers: table }),
    endpoint,
    party: charter.party,
    follow: (engine) => followGovernance({ engine, take, askAttester: attester.ask, reread: files.reread, log }),
    takeGovernance: take,
    forgetVault: () => memory.forget(),
    serveConnectors: async (inject) => {
      const path = config.mesh.connector_socket_path;
      if (path !== undefined) connectors = await listenForConnectors({ path, endpoint, inject, peers: table });
    },
    peers: () => peerRows(table),
    registerMetrics: (registry) => {
      const listeners = () => (connectors ? [connectors.stats()] : []);
      const releaseExpiresMs = () => endOfRelease(files.book, table);
      attester.registerMetrics(registry);
      registerMeshMetrics(registry, { clock, endpoint, peers: table, listeners, releaseExpiresMs });
    },
    reasons: () => {
      const { ok, reasons } = endpoint.health();
      return [...(ok ? [] : reasons.map((reason) => `the mesh: ${reason}`)), ...attester.reasons()];
    },
    close: async () => {
      await connectors?.close();
      await endpoint.close();
      await files.close();
      await memory.close();
      endpoint.self.attester.close();
    },
  };
}

/** When the release that the engine runs is trusted no more. */
function endOfRelease(book: GovernanceBook, table: PeerTable): number | undefined {
  const running = table.rows().find(({ role }) => role === 'engine')?.release;
  const entries = book.releases?.body.entries.filter(({ role, release }) => role === 'engine' && release === running);
  return entries && entries.length > 0 ? Math.max(...entries.map(({ notAfterMs }) => notAfterMs)) : undefined;
}

/** What stands in this process's own documents: asked once, so that no setting can name another instance. */
async function ownModuleId({ attester, anchor }: CoreAttestation, clock: Clock): Promise<string> {
  const document = await attester.attest({});
  const nowMs = clock.nowMs();
  return (await verifyLiveDocument(document, { anchor, nowMs, maxAgeMs: DAY_MS, skewMs: DAY_MS })).moduleId;
}
