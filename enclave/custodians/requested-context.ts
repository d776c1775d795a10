/**
 * A `NewCustodianContext` request as the engine reads it: who the custodians are. Everything in it is public, and none of it
 * is signed: that the custodians are the right ones is what governance's approval of the very request says.
 *
 * Spec: kms-service 2.9, 7.4.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';
import { type CustodianSetupMessage, NewCustodianContextRequestSchema } from '../../proto/gen/kms_pb.js';
import { MAX_CUSTODIANS } from '../../wire/custodian/fields.ts';
import { type CustodianContext, checkContext } from '../../wire/custodian/recovery-material.ts';
import { type CustodianSetup, checkCustodianName, decodeSetupPayload } from '../../wire/custodian/setup-message.ts';
import type { RequestId } from '../../wire/ids.ts';
import { parseNewCustodianContext } from '../../wire/validate/custodian.ts';
import { decodeRequest } from '../decode-request.ts';

/** What is asked for; the backup key is made later. */
export interface RequestedContext extends Omit<CustodianContext, 'backupKey'> {
  readonly mpcContextId: RequestId;
}

/** How far a setup message may be from this clock: longer ago, its keys may have been lost since. */
const MAX_AGE_MS = 24 * 3_600_000;

/**
 * Reads and checks a request.
 *
 * @throws KmsError `REQUEST_INVALID` for ids and shape; `TASK_FAILED` naming every setup message that cannot be used.
 */
export function readRequestedContext(body: Uint8Array, nowMs: number): RequestedContext {
  const message = decodeRequest(NewCustodianContextRequestSchema, body);
  const {
    custodianContextId: contextId,
    mpcContextId,
    threshold,
    custodians: count,
  } = parseNewCustodianContext(message);
  if (count > MAX_CUSTODIANS) {
    throw new KmsError('REQUEST_INVALID', `a context has at most ${MAX_CUSTODIANS} custodians`, { custodians: count });
  }
  const custodians = new Map<number, CustodianSetup>();
  const faults: string[] = [];
  for (const node of message.newCustodianContext?.custodianNodes ?? []) {
    const role = Number(node.custodianRole);
    try {
      custodians.set(role, readSetup(node, nowMs));
    } catch (error) {
      if (!isKmsError(error)) throw error;
      faults.push(`custodian ${role}: ${error.message}`);
    }
  }
  if (faults.length > 0) throw unusable(faults.join('; '));
  const context = { contextId, threshold, custodians };
  try {
    checkContext({ ...context, backupKey: new Uint8Array() });
  } catch (error) {
    if (isKmsError(error)) throw unusable(error.message);
    throw error;
  }
  return { ...context, mpcContextId };
}

function readSetup({ custodianRole, name, payload }: CustodianSetupMessage, nowMs: number): CustodianSetup {
  const setup = { role: Number(custodianRole), name: checkCustodianName(name), ...decodeSetupPayload(payload) };
  const ageMs = nowMs - setup.timestamp.seconds * 1_000;
  if (Math.abs(ageMs) <= MAX_AGE_MS) return setup;
  const hours = Math.round(ageMs / 3_600_000);
  const message = `its message is ${hours} hours old and has to be made within a day of now: have it made again`;
  throw new KmsError('REQUEST_INVALID', message, { hours });
}

/** The published status of a bad setup message is INTERNAL; the text says what is wrong all the same. */
function unusable(why: string): KmsError {
  return new KmsError('TASK_FAILED', `the custodians' setup messages cannot be used: ${why}`);
}
