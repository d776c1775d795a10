/**
 * Structural checks of custodian requests. What setup messages and outputs hold is checked by the part that
 * keeps backups; here only what every node can tell.
 */
import type {
  CustodianRecoveryRequest,
  DestroyCustodianContextRequest,
  NewCustodianContextRequest,
} from '../../proto/gen/kms_pb.js';
import type { RequestId } from '../ids.ts';
import { invalidField, requiredId } from './common.ts';

/** A new custodian context, as far as a node without backup vault looks. */
export interface NewCustodianContext {
  readonly custodianContextId: RequestId;
  readonly mpcContextId: RequestId;
  readonly threshold: number;
  readonly custodians: number;
}

/** Checks ids, roles and threshold of a new custodian context. Throws `REQUEST_INVALID` naming the field. */
export function parseNewCustodianContext(message: NewCustodianContextRequest): NewCustodianContext {
  const context = message.newCustodianContext;
  if (context === undefined) throw invalidField('new_custodian_context', 'is missing');
  const custodianContextId = requiredId(context.custodianContextId, 'custodian_context_id');
  const mpcContextId = requiredId(message.mpcContextId, 'mpc_context_id');
  const { custodianNodes, threshold } = context;
  const custodians = custodianNodes.length;
  if (threshold < 1 || 2 * threshold >= custodians) {
    throw invalidField('threshold', 'must be at least 1 and less than half of the custodians', {
      threshold,
      custodians,
    });
  }
  const roles = new Set(custodianNodes.map(({ custodianRole }) => custodianRole));
  if (roles.size !== custodians || [...roles].some((role) => role < 1n || role > BigInt(custodians))) {
    throw invalidField('custodian_role', 'must be 1 to n, each once', { custodians });
  }
  return { custodianContextId, mpcContextId, threshold, custodians };
}

/** Returns the id of the custodian context to destroy. */
export function parseDestroyCustodianContext(message: DestroyCustodianContextRequest): RequestId {
  return requiredId(message.contextId, 'context_id');
}

/** Returns the id of the custodian context to recover from. */
export function parseCustodianBackupRecovery(message: CustodianRecoveryRequest): RequestId {
  const id = requiredId(message.custodianContextId, 'custodian_context_id');
  if (message.custodianRecoveryOutputs.length === 0)
    throw invalidField('custodian_recovery_outputs', 'must not be empty');
  return id;
}
