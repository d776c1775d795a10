/**
 * Custodian and backup RPCs on a node that has no backup vault: what can be told without one. Spec: kms-service 1.6.
 */
import { KmsError } from '../../../common/errors.ts';
import {
  CustodianRecoveryInitRequestSchema,
  CustodianRecoveryRequestSchema,
  DestroyCustodianContextRequestSchema,
  EmptySchema,
  NewCustodianContextRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import {
  parseCustodianBackupRecovery,
  parseDestroyCustodianContext,
  parseNewCustodianContext,
} from '../../../wire/validate/custodian.ts';
import { requireApproval } from './approval.ts';
import { decodeControl } from './decode.ts';
import { noteId, type Rpc } from './method.ts';
import type { MpcDeps } from './mpc.ts';

/** `NewCustodianContext`: needs governance's approval, and a backup vault to put its material in. */
export function newCustodianContextRpc(deps: MpcDeps): Rpc {
  const { topology } = deps;
  return {
    operation: 'new_custodian_context',
    async handle(body, call) {
      const message = decodeControl(NewCustodianContextRequestSchema, body);
      noteId(call, message.newCustodianContext?.custodianContextId);
      const { mpcContextId } = parseNewCustodianContext(message);
      if (!topology.hasContext(mpcContextId)) {
        throw new KmsError('REQUEST_INVALID', 'mpc_context_id names no context of this node', { mpcContextId });
      }
      await requireApproval(deps, 'custodian-context', body);
      throw new KmsError('PRECONDITION_FAILED', 'this node has no backup vault');
    },
  };
}

/** `DestroyCustodianContext`: without a backup vault there is none to destroy. */
export const destroyCustodianContextRpc: Rpc = {
  operation: 'destroy_custodian_context',
  async handle(body, call) {
    const message = decodeControl(DestroyCustodianContextRequestSchema, body);
    noteId(call, message.contextId);
    const contextId = parseDestroyCustodianContext(message);
    throw new KmsError('NOT_FOUND', 'this node knows no such custodian context', { contextId });
  },
};

/** `GetOperatorPublicKey`: the key belongs to a backup vault. */
export const getOperatorPublicKeyRpc: Rpc = {
  operation: 'fetch_pk',
  async handle(body) {
    decodeControl(EmptySchema, body);
    throw new KmsError('UNAVAILABLE', 'this node has no backup vault');
  },
};

/** `RestoreFromBackup`. */
export const restoreFromBackupRpc: Rpc = {
  operation: 'restore_from_backup',
  async handle(body) {
    decodeControl(EmptySchema, body);
    throw new KmsError('UNAVAILABLE', 'this node has no backup vault');
  },
};

/** `CustodianRecoveryInit`. */
export const custodianRecoveryInitRpc: Rpc = {
  operation: 'custodian_recovery_init',
  async handle(body) {
    decodeControl(CustodianRecoveryInitRequestSchema, body);
    throw new KmsError('PRECONDITION_FAILED', 'this node has no backup vault');
  },
};

/** `CustodianBackupRecovery`: comes after a recovery init, which this node cannot have had. */
export const custodianBackupRecoveryRpc: Rpc = {
  operation: 'custodian_backup_recovery',
  async handle(body, call) {
    const message = decodeControl(CustodianRecoveryRequestSchema, body);
    noteId(call, message.custodianContextId);
    parseCustodianBackupRecovery(message);
    throw new KmsError('PRECONDITION_FAILED', 'no recovery has been begun');
  },
};
