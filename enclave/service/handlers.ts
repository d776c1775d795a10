/**
 * One handler for each method of the link, and those that describe the engine itself.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { MeshHealth } from '../../attestation/mesh/mesh-context.ts';
import type { PeerTable } from '../../attestation/mesh/peer-table.ts';
import type { Clock } from '../../common/clock.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import { type EngineInfo, EngineInfoSchema, EngineStatusSchema } from '../../proto/gen/engine_pb.js';
import { ENGINE_METHOD, type EngineMethod } from '../../wire/frames.ts';
import { backupStatus } from '../backup/backup-calls.ts';
import type { RunningBackup } from '../backup/running-backup.ts';
import type { CallHandler } from '../call.ts';
import {
  type GovernanceCallDeps,
  governancePut,
  governanceState,
  requireApproval,
} from '../governance/governance-calls.ts';
import type { IdentityObject } from '../identity/identity-objects.ts';
import { type AttestDeps, attest } from '../mesh/attest-call.ts';
import { peers } from '../mesh/peers-call.ts';
import type { NodeWork } from '../node/node-work.ts';
import type { WorkBudget } from './work-budget.ts';

/** What the handlers need beside the operations of the node. */
export interface HandlerDeps {
  readonly work: NodeWork;
  /** Calls about the vault. */
  readonly vault: Readonly<Partial<Record<EngineMethod, CallHandler>>>;
  /** The backup of the vault, if it has one. */
  readonly backup?: RunningBackup | undefined;
  /** Of the rule by which decryptions are authorized. */
  readonly policyName: string;
  readonly nodeKey: Pick<NodeKey, 'address' | 'publicKey'>;
  readonly governance: GovernanceCallDeps;
  readonly attest: AttestDeps;
  readonly peers: PeerTable;
  /** How the engine's side of the mesh is. */
  readonly meshHealth: () => MeshHealth;
  readonly identity: readonly IdentityObject[];
  readonly version: string;
  readonly developerMode: boolean;
  readonly budget: WorkBudget;
  readonly clock: Clock;
}

/** Returns the handlers, by method number; a method that this kind of node does not have has none. */
export function engineHandlers(deps: HandlerDeps): Readonly<Partial<Record<EngineMethod, CallHandler>>> {
  const startedMs = deps.clock.monotonicMs();
  return {
    [ENGINE_METHOD.describe]: () => toBinary(EngineInfoSchema, describe(deps)),
    [ENGINE_METHOD.status]: () => status(deps, startedMs),
    [ENGINE_METHOD.attest]: attest(deps.attest),
    [ENGINE_METHOD.governancePut]: governancePut(deps.governance),
    [ENGINE_METHOD.governanceState]: governanceState(deps.governance),
    [ENGINE_METHOD.requireApproval]: requireApproval(deps.governance),
    [ENGINE_METHOD.peers]: peers(deps.peers, deps.work.ledger),
    ...deps.vault,
    ...deps.work.operations,
  };
}

function describe({ work, policyName, nodeKey, identity, version, developerMode }: HandlerDeps): EngineInfo {
  return create(EngineInfoSchema, {
    version,
    developerMode,
    authorizationPolicy: policyName,
    address: nodeKey.address,
    verificationKey: nodeKey.publicKey,
    identityObjects: identity.map(({ type, id, content }) => ({ type, id, content })),
    ...work.material(),
  });
}

function status({ work, backup, budget, clock, meshHealth }: HandlerDeps, startedMs: number): Uint8Array {
  const { failedRenewals, leafExpiresMs } = meshHealth();
  const { user, system } = process.cpuUsage();
  const { heapTotal, external } = process.memoryUsage();
  return toBinary(
    EngineStatusSchema,
    create(EngineStatusSchema, {
      uptimeMs: BigInt(Math.round(clock.monotonicMs() - startedMs)),
      residentBytes: BigInt(process.memoryUsage.rss()),
      callsInFlight: budget.calls,
      generating: work.generating(),
      scriptBytes: BigInt(heapTotal + external),
      cpuUserUs: BigInt(user),
      cpuSystemUs: BigInt(system),
      failedRenewals,
      certificateExpiresMs: BigInt(Math.floor(leafExpiresMs)),
      ...(work.quorum && { quorum: work.quorum() }),
      ...(backup && { backup: backupStatus(backup) }),
    }),
  );
}
