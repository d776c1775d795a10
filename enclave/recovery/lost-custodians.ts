/**
 * The custodians of a node that has lost everything but its backup storage. Which of them are to be asked, the node's own signed
 * statement says; whose statement counts, the governed record says. Nothing else in the storage is believed.
 */
import { type Charter, charterDigest } from '../../attestation/governance/index.ts';
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Storage } from '../../storage/storage.ts';
import { type ActiveStatement, materialDigest, readStatement, STATEMENT_PATH } from '../custodians/active-statement.ts';
import type { RecoverySource } from '../custodians/recovery.ts';

/** What is looked at. */
export interface LostCustodians {
  /** Root of the backup storage. */
  readonly storage: Pick<Storage, 'get'>;
  readonly charter: Charter;
  /** Of the node, from the governed record. */
  readonly address: Uint8Array;
}

/** What a recovery begins with, and the statement that led to it. */
export interface FoundCustodians extends RecoverySource {
  readonly statement: ActiveStatement;
}

/**
 * Finds the recovery material of the custodian context in force.
 *
 * @throws KmsError `PRECONDITION_FAILED` if the storage has no statement, or not the material that it names;
 *   `REQUEST_INVALID` naming what is wrong with either.
 */
export async function findCustodians({ storage, charter, address }: LostCustodians): Promise<FoundCustodians> {
  const { party } = charter;
  const stated = await storage.get(STATEMENT_PATH).catch(absent('no statement of the node on its custodians'));
  const statement = readStatement(stated, { charterDigest: charterDigest(charter), party, address });
  const { contextId, verificationKey } = statement;
  const missing = absent(`no recovery material of custodian context ${contextId}, which was in force`);
  const material = await storage.get(['RecoveryMaterial', contextId]).catch(missing);
  if (equalBytes(materialDigest(material), statement.material)) return { material, verificationKey, statement };
  const what = `the recovery material of custodian context ${contextId} is another than the node stated`;
  throw new KmsError('REQUEST_INVALID', `${what}: put back the one that was published`, { contextId });
}

function absent(what: string): (error: unknown) => never {
  return (error) => {
    if (!isKmsError(error, 'NOT_FOUND')) throw error;
    throw new KmsError('PRECONDITION_FAILED', `the backup storage has ${what}`, {}, error);
  };
}
