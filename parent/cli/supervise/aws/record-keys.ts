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
    return { ...entry, aws: { ...EMULATED, ...aws } };
  });
  return signRecord(makeRecord({ ...body, version: body.version + 1, parties }), governanceKey);
}
