/**
 * One handler for each method of the link, and those that describe the engine itself.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { MeshHealth } from '../../attestation/mesh/mesh-context.ts';
import type { PeerTable } from '../../attestation/mesh/peer-table.ts';
import type { Clock } from '../../common/clock.ts';
import { type EngineInfo, EngineInfoSchema, EngineStatusSchema } from '../../proto/gen/engine_pb.js';
import { FheParameter } from '../../proto/gen/kms_pb.js';
import { ENGINE_METHOD, type EngineMethod } from '../../wire/frames.ts';
import type { CallHandler } from '../call.ts';
import { crsGeneration } from '../fhe/crs-generation.ts';
import type { DecryptionDeps } from '../fhe/decryption-deps.ts';
import type { GenerationDeps } from '../fhe/generation-deps.ts';
import { keyGeneration } from '../fhe/key-generation.ts';
import { preprocessing } from '../fhe/preprocessing.ts';
import { publicDecryption } from '../fhe/public-decryption.ts';
import { userDecryption } from '../fhe/user-decryption.ts';
import {
  type GovernanceCallDeps,
  governancePut,
  governanceState,
  requireApproval,
} from '../governance/governance-calls.ts';
import type { IdentityObject } from '../identity/identity-objects.ts';
import { type AttestDeps, attest } from '../mesh/attest-call.ts';
import { peers } from '../mesh/peers-call.ts';
import { crsGenResult, keyGenResult } from '../sign/results.ts';
import type { WorkBudget } from './work-budget.ts';

/** What the handlers need beside the operations' own needs. */
export interface HandlerDeps {
  readonly decryption: DecryptionDeps;
  readonly generation: GenerationDeps;
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
    [ENGINE_METHOD.publicDecrypt]: publicDecryption(deps.decryption),
    [ENGINE_METHOD.userDecrypt]: userDecryption(deps.decryption),
    [ENGINE_METHOD.keyGenPreproc]: preprocessing(deps.generation),
    [ENGINE_METHOD.keyGen]: keyGeneration(deps.generation),
    [ENGINE_METHOD.crsGen]: crsGeneration(deps.generation),
    [ENGINE_METHOD.status]: () => status(deps, startedMs),
    [ENGINE_METHOD.attest]: attest(deps.attest),
    [ENGINE_METHOD.governancePut]: governancePut(deps.governance),
    [ENGINE_METHOD.governanceState]: governanceState(deps.governance),
    [ENGINE_METHOD.requireApproval]: requireApproval(deps.governance),
    [ENGINE_METHOD.peers]: peers(deps.peers),
  };
}

function describe({ decryption, generation, identity, version, developerMode }: HandlerDeps): EngineInfo {
  const { catalogue } = generation;
  return create(EngineInfoSchema, {
    version,
    developerMode,
    authorizationPolicy: decryption.policy.name,
    address: decryption.nodeKey.address,
    verificationKey: decryption.nodeKey.publicKey,
    identityObjects: identity.map(({ type, id, content }) => ({ type, id, content })),
    keys: catalogue.keys().map(({ epochId, params, metadata }) => ({
      keyId: metadata.keyId,
      epochId,
      params: FheParameter[params],
      result: keyGenResult(metadata),
    })),
    crs: catalogue.crs().map(({ epochId, metadata }) => ({
      crsId: metadata.crsId,
      epochId,
      result: crsGenResult(metadata),
    })),
  });
}

function status({ generation, budget, clock, meshHealth }: HandlerDeps, startedMs: number): Uint8Array {
  const { failedRenewals, leafExpiresMs } = meshHealth();
  const { user, system } = process.cpuUsage();
  const { heapTotal, external } = process.memoryUsage();
  return toBinary(
    EngineStatusSchema,
    create(EngineStatusSchema, {
      uptimeMs: BigInt(Math.round(clock.monotonicMs() - startedMs)),
      residentBytes: BigInt(process.memoryUsage.rss()),
      callsInFlight: budget.calls,
      generating: generation.queue.current,
      scriptBytes: BigInt(heapTotal + external),
      cpuUserUs: BigInt(user),
      cpuSystemUs: BigInt(system),
      failedRenewals,
      certificateExpiresMs: BigInt(Math.floor(leafExpiresMs)),
    }),
  );
}
