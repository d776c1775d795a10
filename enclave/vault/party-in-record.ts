/** What the governed record in the node's files says of this party, before there is a vault to remember another. Public. */
import {
  type AwsKeys,
  type GovernedRecord,
  type ReleaseSet,
  verifyRecord,
  verifyReleaseSet,
} from '../../attestation/governance/index.ts';
import { KmsError } from '../../common/errors.ts';
import type { VaultParts } from './open-vault.ts';

/** See the file comment. */
export interface PartyInRecord {
  readonly record: GovernedRecord;
  readonly releases: ReleaseSet;
  /** 20 bytes; absent until the party is enrolled. */
  readonly address: Uint8Array | undefined;
  readonly aws: AwsKeys | undefined;
}

/**
 * Reads and verifies record and release set.
 *
 * @throws KmsError `STATE_INVALID` if one is missing, or the record does not name this party; as `verifyRecord`,
 *   `verifyReleaseSet`.
 */
export function partyInRecord({
  charter,
  record,
  releases,
}: Pick<VaultParts, 'charter' | 'record' | 'releases'>): PartyInRecord {
  if (record === undefined || releases === undefined) {
    const missing = record === undefined ? 'governed record' : 'release set';
    throw new KmsError(
      'STATE_INVALID',
      `there is no ${missing} in the node's files, and a sealed vault needs it first`,
    );
  }
  const { body } = verifyRecord(record, charter);
  const own = body.parties.find(({ party }) => party === charter.party);
  if (own === undefined) throw new KmsError('STATE_INVALID', `the governed record names no party ${charter.party}`);
  return { record: body, releases: verifyReleaseSet(releases, body).body, address: own.address, aws: own.aws };
}
