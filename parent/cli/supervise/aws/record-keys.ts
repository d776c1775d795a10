/**
 * The root keys of a network in its governed record, which is where engines look for them.
 */
import type { KeyObject } from 'node:crypto';
import { type GovernedRecord, makeRecord, type Signed, signRecord } from '../../../../attestation/governance/index.ts';
import { fromHex } from '../../../../common/bytes.ts';
import { EMULATED, type PartyKeys } from './aws-file.ts';

/** Returns the next version of a record, signed, with the keys of each party by its number; the record itself if it has them. */
export function withRootKeys(
  record: Signed<GovernedRecord>,
  keys: ReadonlyMap<number, PartyKeys>,
  governanceKey: KeyObject,
): Signed<GovernedRecord> {
  const { body } = record;
  const hasAll = body.parties.every(({ party, aws }) => {
    const own = keys.get(party);
    return own === undefined || (aws?.primaryKeyId === own.primary && aws.backupKeyId === own.backup);
  });
  if (hasAll) return record;
  const parties = body.parties.map((entry) => {
    const own = keys.get(entry.party);
    if (!own) return entry;
    const aws = { primaryKeyId: own.primary, backupKeyId: own.backup, keyPolicy: fromHex(own.policy) };
    const before = entry.aws?.primaryKeyId;
    // What lies under the key before still opens, until it is sealed anew (arca kms rewrap).
    const previous = before === undefined || before === own.primary ? {} : { previousKeyId: before };
    return { ...entry, aws: { ...EMULATED, ...aws, ...previous } };
  });
  return signRecord(makeRecord({ ...body, version: body.version + 1, parties }), governanceKey);
}
