/**
 * Custodian and backup RPCs: the engine parses, checks and does; a node without backup vault says what can be told without
 * one. Spec: kms-service 1.6, 7.4.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import { RestoreCallSchema } from '../../../proto/gen/engine_pb.js';
import {
  CustodianRecoveryInitRequestSchema,
  CustodianRecoveryRequestSchema,
  DestroyCustodianContextRequestSchema,
  EmptySchema,
  NewCustodianContextRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import {
  parseCustodianBackupRecovery,
  parseDestroyCustodianContext,
  parseNewCustodianContext,
} from '../../../wire/validate/custodian.ts';
import { requireApproval } from './approval.ts';
import { decodeControl } from './decode.ts';
import { engineAway } from './decryptions.ts';
import type { RpcDeps } from './deps.ts';
import { EMPTY, noteId, type Rpc } from './method.ts';
import type { MpcDeps } from './mpc.ts';

const NO_VAULT = 'this node has no backup vault';

/**
 * `NewCustodianContext`: needs governance's approval, and a backup vault to put its material in. Returns once everything is
 * backed up under the new key, however long that takes.
 */
export function newCustodianContextRpc(deps: MpcDeps): Rpc {
  const { engine, topology, log } = deps;
  return {
    operation: 'new_custodian_context',
    async handle(body, call) {
      const message = decodeControl(NewCustodianContextRequestSchema, body);
      noteId(call, message.newCustodianContext?.custodianContextId);
      const { custodianContextId, mpcContextId } = parseNewCustodianContext(message);
      if (!topology.hasContext(mpcContextId)) {
        throw new KmsError('REQUEST_INVALID', 'mpc_context_id names no context of this node', { mpcContextId });
      }
      if (!deps.hasBackupVault) {
        await requireApproval(deps, 'custodian-context', body);
        throw new KmsError('PRECONDITION_FAILED', NO_VAULT);
      }
      if (engine.state !== 'connected') throw engineAway(engine.reason);
      // Not cut short by a client who leaves, nor by a clock: half a change is none.
      await engine.call(ENGINE_METHOD.newCustodianContext, body);
      await deps.publish(await engine.refreshInfo());
      log.info({ event: 'custodians.context', requestId: custodianContextId });
      return EMPTY;
    },
  };
}

/** `DestroyCustodianContext`: without a backup vault there is none to destroy. */
export function destroyCustodianContextRpc({ engine, hasBackupVault, publish, withdraw, log }: RpcDeps): Rpc {
  return {
    operation: 'destroy_custodian_context',
    async handle(body, call) {
      const message = decodeControl(DestroyCustodianContextRequestSchema, body);
      noteId(call, message.contextId);
      const contextId = parseDestroyCustodianContext(message);
      if (!hasBackupVault) throw new KmsError('NOT_FOUND', 'this node knows no such custodian context', { contextId });
      if (engine.state !== 'connected') throw engineAway(engine.reason);
      await engine.call(ENGINE_METHOD.destroyCustodianContext, body);
      // First nobody expects it any more, then it goes: no fault is seen in between.
      await publish(await engine.refreshInfo());
      await withdraw('RecoveryMaterial', contextId);
      log.info({ event: 'custodians.context-destroyed', requestId: contextId });
      return EMPTY;
    },
  };
}

/** `GetOperatorPublicKey`: the key belongs to a backup vault; the engine attests it. */
export function getOperatorPublicKeyRpc({ engine, hasBackupVault, engineTimeoutMs: timeoutMs }: RpcDeps): Rpc {
  return {
    operation: 'fetch_pk',
    async handle(body, { signal }) {
      decodeControl(EmptySchema, body);
      if (!hasBackupVault) throw new KmsError('UNAVAILABLE', NO_VAULT);
      return await engine.call(ENGINE_METHOD.operatorPublicKey, EMPTY, { signal, timeoutMs });
    },
  };
}

/** `RestoreFromBackup`: adds what the private vault lacks, with the key that the node can use by itself. */
export function restoreFromBackupRpc({ engine, hasBackupVault, onRestored, log }: RpcDeps): Rpc {
  return {
    operation: 'restore_from_backup',
    async handle(body) {
      decodeControl(EmptySchema, body);
      if (!hasBackupVault) throw new KmsError('UNAVAILABLE', NO_VAULT);
      if (engine.state !== 'connected') throw engineAway(engine.reason);
      await engine.call(ENGINE_METHOD.restore, toBinary(RestoreCallSchema, create(RestoreCallSchema, {})));
      await onRestored?.();
      log.info({ event: 'backup.restored' });
      return EMPTY;
    },
  };
}

/** `CustodianRecoveryInit`. */
export function custodianRecoveryInitRpc({ engine, hasBackupVault, engineTimeoutMs: timeoutMs }: RpcDeps): Rpc {
  return {
    operation: 'custodian_recovery_init',
    async handle(body) {
      decodeControl(CustodianRecoveryInitRequestSchema, body);
      if (!hasBackupVault) throw new KmsError('PRECONDITION_FAILED', NO_VAULT);
      return await engine.call(ENGINE_METHOD.recoveryInit, body, { timeoutMs });
    },
  };
}

/** `CustodianBackupRecovery`: comes after a recovery init. On success the private vault has what it lacked. */
export function custodianBackupRecoveryRpc({ engine, hasBackupVault, onRestored, log }: RpcDeps): Rpc {
  return {
    operation: 'custodian_backup_recovery',
    async handle(body, call) {
      const message = decodeControl(CustodianRecoveryRequestSchema, body);
      noteId(call, message.custodianContextId);
      const contextId = parseCustodianBackupRecovery(message);
      if (!hasBackupVault) throw new KmsError('PRECONDITION_FAILED', 'no recovery has been begun');
      if (engine.state !== 'connected') throw engineAway(engine.reason);
      await engine.call(ENGINE_METHOD.custodianRecovery, body);
      await onRestored?.();
      log.info({ event: 'custodians.recovered', requestId: contextId });
      return EMPTY;
    },
  };
}
