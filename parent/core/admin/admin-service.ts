/**
 * `arca.v1.AdminService`: what operators ask of a node beyond the published service. Who may ask is `access.ts`'s word.
 *
 * The engine decides on everything signed; the Core hands it on as it came. Nothing here is secret.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import {
  AdminService,
  GetBackupRequestSchema,
  GetGovernanceRequestSchema,
  GetQuorumRequestSchema,
  GetVaultRequestSchema,
  ListCustodianContextsRequestSchema,
  ListPeersRequestSchema,
  QuorumStateSchema,
  RewrapVaultRequestSchema,
  VerifyBackupRequestSchema,
} from '../../../proto/gen/arca-admin_pb.js';
import {
  AttestCallSchema,
  AttestResultSchema,
  DrillCallSchema,
  EngineStatusSchema,
  GovernanceObjectSchema,
  type GovernanceState,
  GovernanceStateSchema,
  type PeerStateSchema,
  PeerTableSchema,
  QuorumRestartCallSchema,
  RecoveryDocumentCallSchema,
  RestoreCallSchema,
} from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { AdminRpcName } from '../../grpc/client.ts';
import type { GrpcCall, GrpcMethod } from '../../grpc/server.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';
import { decodeControl } from '../rpc/decode.ts';
import { statusOf } from '../rpc/failures.ts';
import type { Attest } from './attest.ts';

/** A peer as the table shows it; the Core's own are added to the engine's. */
export type PeerInit = MessageInitShape<typeof PeerStateSchema>;

/** What the service needs. */
export interface AdminDeps {
  readonly engine: EngineClient;
  readonly attest: Attest;
  readonly log: Logger;
  /** Peers that the Core itself is connected to, or should be. */
  readonly corePeers?: (() => readonly PeerInit[]) | undefined;
  /** Told of what the engine holds after each change that came through here. */
  readonly onGovernance?: ((state: GovernanceState) => void) | undefined;
  /** Told once the private vault was restored; resolves once that is durable. */
  readonly onRestored?: (() => Promise<void>) | undefined;
}

const TIMEOUT_MS = 20_000;
/** What reads all of a vault or of a backup takes as long as its storage. */
const WHOLE_VAULT_TIMEOUT_MS = 30 * 60_000;
const NOTHING = new Uint8Array(0);

type Handle = (body: Uint8Array, call: GrpcCall) => Promise<Uint8Array>;

/** Makes the methods of the service, by path. */
export function adminMethods(deps: AdminDeps): ReadonlyMap<string, GrpcMethod> {
  const { engine, attest, log } = deps;
  const handlers: Readonly<Record<AdminRpcName, Handle>> = {
    async GetAttestation(body, { signal }) {
      const { nonce } = decodeControl(AttestCallSchema, body);
      return toBinary(AttestResultSchema, await attest(nonce, signal));
    },
    async GetGovernance(body, { signal }) {
      decodeControl(GetGovernanceRequestSchema, body);
      return await engine.call(ENGINE_METHOD.governanceState, NOTHING, { signal, timeoutMs: TIMEOUT_MS });
    },
    async PutGovernance(body, { signal }) {
      const { kind } = decodeControl(GovernanceObjectSchema, body);
      const answer = await engine.call(ENGINE_METHOD.governancePut, body, { signal, timeoutMs: TIMEOUT_MS });
      log.info({ event: 'governance.put', kind: KINDS.has(kind) ? kind : 'unknown' });
      deps.onGovernance?.(fromBinary(GovernanceStateSchema, answer));
      return answer;
    },
    async ListPeers(body, { signal }) {
      decodeControl(ListPeersRequestSchema, body);
      const own = deps.corePeers?.() ?? [];
      // An engine that is refused, or refuses, is what the table is looked at for: the Core's row says why.
      if (engine.state === 'disconnected' && own.length > 0) return peerTable(own);
      const answer = await engine.call(ENGINE_METHOD.peers, NOTHING, { signal, timeoutMs: TIMEOUT_MS });
      return peerTable([...fromBinary(PeerTableSchema, answer).peers, ...own]);
    },
    async GetVault(body, { signal }) {
      decodeControl(GetVaultRequestSchema, body);
      return await engine.call(ENGINE_METHOD.vaultStatus, NOTHING, { signal, timeoutMs: TIMEOUT_MS });
    },
    async RestartQuorum(body, { signal }) {
      decodeControl(QuorumRestartCallSchema, body);
      log.warn({ event: 'quorum.restart-asked' });
      return await engine.call(ENGINE_METHOD.quorumRestart, body, { signal, timeoutMs: TIMEOUT_MS });
    },
    async GetQuorum(body, { signal }) {
      decodeControl(GetQuorumRequestSchema, body);
      const answer = await engine.call(ENGINE_METHOD.status, NOTHING, { signal, timeoutMs: TIMEOUT_MS });
      const { threshold, awaitsRestore } = engine.info() ?? {};
      if (awaitsRestore) throw new KmsError('PRECONDITION_FAILED', 'this node waits for its restore: arca restore');
      if (!threshold) throw new KmsError('UNIMPLEMENTED', 'a centralized node is part of no quorum');
      const { quorum } = fromBinary(EngineStatusSchema, answer);
      return toBinary(QuorumStateSchema, create(QuorumStateSchema, { threshold, ...(quorum && { status: quorum }) }));
    },
    async GetBackup(body, { signal }) {
      decodeControl(GetBackupRequestSchema, body);
      return await engine.call(ENGINE_METHOD.backupState, NOTHING, { signal, timeoutMs: TIMEOUT_MS });
    },
    async VerifyBackup(body, { signal }) {
      decodeControl(VerifyBackupRequestSchema, body);
      return await engine.call(ENGINE_METHOD.backupVerify, NOTHING, { signal, timeoutMs: WHOLE_VAULT_TIMEOUT_MS });
    },
    async RestoreBackup(body, { signal }) {
      const { plan } = decodeControl(RestoreCallSchema, body);
      const report = await engine.call(ENGINE_METHOD.restore, body, { signal, timeoutMs: WHOLE_VAULT_TIMEOUT_MS });
      if (!plan) await deps.onRestored?.();
      return report;
    },
    async DrillBackup(body, { signal }) {
      decodeControl(DrillCallSchema, body);
      return await engine.call(ENGINE_METHOD.backupDrill, body, { signal, timeoutMs: WHOLE_VAULT_TIMEOUT_MS });
    },
    async RewrapVault(body, { signal }) {
      decodeControl(RewrapVaultRequestSchema, body);
      return await engine.call(ENGINE_METHOD.rewrapVault, NOTHING, { signal, timeoutMs: WHOLE_VAULT_TIMEOUT_MS });
    },
    async ListCustodianContexts(body, { signal }) {
      decodeControl(ListCustodianContextsRequestSchema, body);
      return await engine.call(ENGINE_METHOD.custodianContexts, NOTHING, { signal, timeoutMs: TIMEOUT_MS });
    },
    async GetRecoveryDocument(body, { signal }) {
      decodeControl(RecoveryDocumentCallSchema, body);
      return await engine.call(ENGINE_METHOD.recoveryDocument, body, { signal, timeoutMs: TIMEOUT_MS });
    },
  };
  return new Map(
    Object.entries(handlers).map(([name, handle]): [string, GrpcMethod] => [
      `/${AdminService.typeName}/${name}`,
      { kind: 'unary', handle: guarded(handle, name, log) },
    ]),
  );
}

const peerTable = (peers: readonly PeerInit[]): Uint8Array =>
  toBinary(PeerTableSchema, create(PeerTableSchema, { peers: [...peers] }));

const KINDS: ReadonlySet<string> = new Set(['record', 'release-set', 'proposal']);

/** One place for errors of all handlers. */
function guarded(handle: Handle, name: string, log: Logger): Handle {
  return async (body, call) => {
    try {
      return await handle(body, call);
    } catch (error) {
      log[isNoAnswer(name, error) ? 'debug' : 'warn']({ event: 'admin.failed', rpc: name, err: error });
      throw statusOf(error, undefined, name);
    }
  };
}

/** A question that this node has no answer to, now or ever, is asked again and again by who shows a whole quorum. */
function isNoAnswer(name: string, error: unknown): boolean {
  return /^(?:Get|List)/.test(name) && (isKmsError(error, 'UNIMPLEMENTED') || isKmsError(error, 'PRECONDITION_FAILED'));
}
