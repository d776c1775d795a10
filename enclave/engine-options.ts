/**
 * What an engine is made of. Nothing here has a default: the main modules say what may be trusted.
 */
import type { Nsm } from '../attestation/attester/attester.ts';
import type { TrustAnchor } from '../attestation/document/index.ts';
import type { Charter } from '../attestation/governance/index.ts';
import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/log.ts';
import type { AuthorizationPolicy } from './authorization.ts';
import type { OpenBackup } from './backup/open-backup.ts';
import type { EpochBookOptions } from './contexts/epoch-book.ts';
import type { GenerationQueue } from './fhe/generation-queue.ts';
import type { EnrolmentFile, LocalGovernance } from './governance/enrol.ts';
import type { PublicFiles } from './keys/public-files.ts';
import type { EngineMesh } from './mesh/engine-mesh.ts';
import type { PeerNetwork, PeerNetworkOptions } from './peers/peer-network.ts';
import type { ManifestPoint } from './seal/manifest.ts';
import type { EngineListener } from './service/engine-listener.ts';
import type { BudgetLimits } from './service/work-budget.ts';
import type { OpenVault } from './vault/open-vault.ts';

/** What an engine is made of. */
export interface EngineOptions {
  /** Told to callers, whose own mode must be the same. */
  readonly developerMode: boolean;
  /** Whether calls marked insecure are served. */
  readonly insecureOperations: boolean;
  /** Whether test parameters, which protect nothing, may be used. */
  readonly testParameters: boolean;
  readonly policy: AuthorizationPolicy;
  /** Opens the private vault. */
  readonly openVault: OpenVault;
  /** Opens the backup vault of a sealed one; absent: there is none. */
  readonly openBackup?: OpenBackup | undefined;
  /** Newest state of the private vault that this machine has kept: an older one does not serve. */
  readonly keptHead?: ManifestPoint | undefined;
  /** Where cores reach the engine, given its side of the mesh: `meshListener` in every program. */
  readonly listener: (mesh: EngineMesh) => EngineListener;
  readonly attestation: EngineAttestation;
  /** Makes it one party of a quorum; without it the node is centralized. */
  readonly threshold?: ThresholdOptions | undefined;
  /** Of a centralized node: where a record that names it will come from. A party's comes with {@link ThresholdOptions}. */
  readonly enrolment?: EnrolmentFile | undefined;
  readonly treatV0ExtraDataAsEmpty: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Generations, of which a process runs one at a time: engines of one process share it. */
  readonly queue?: GenerationQueue;
  /** Bounds on work in flight; tests set small ones. */
  readonly limits?: BudgetLimits;
}

/** What an engine is attested under. */
export interface EngineAttestation {
  /** Fresh as after boot: PCR16 zero, nothing locked above the platform's own registers. */
  readonly nsm: Nsm;
  /** The one root of this program. */
  readonly anchor: TrustAnchor;
  readonly charter: Charter;
  /** Governed record and release set with their signatures, as the node's files hold them. */
  readonly record: Uint8Array | undefined;
  readonly releases: Uint8Array | undefined;
  /** Governance that approves by itself; developer mode alone has it. */
  readonly localGovernance?: LocalGovernance | undefined;
}

/** What makes an engine one party of a quorum. Who the parties are, the governed record says. */
export interface ThresholdOptions extends EnrolmentFile {
  /** Opens the network to the other engines, over a transport that the program chooses. */
  readonly network: (options: Omit<PeerNetworkOptions, 'transport' | 'dial'>) => Promise<PeerNetwork>;
  /** Whether the engine makes the default epoch by itself when it has none. */
  readonly makeDefaultEpoch: boolean;
  /** How long a round of a synchronous protocol waits for a party. */
  readonly roundTimeoutMs: number;
  /** The node's public objects, from which evaluation keys are loaded; undefined if it keeps none. */
  readonly publicFiles: PublicFiles | undefined;
  /** Makes a party whose shares are wrong. Only for demonstrations: no production program has such a function. */
  readonly masksOf?: EpochBookOptions['masksOf'];
}
