/**
 * What a custodian checks of its own share: that it opens with the words on paper, is this custodian's, and is the one
 * that the node committed to. Done when a context is made, so that no word has to be typed for the first time in need.
 */
import { equalBytes } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';
import { type BackupMaterial, backupCommitment, decodeBackupMaterial } from '../wire/custodian/backup-material.ts';
import { faultsOf } from '../wire/custodian/operator.ts';
import type { RecoveryMaterial } from '../wire/custodian/recovery-material.ts';
import { unsigncryptFrom } from '../wire/custodian/signcryption.ts';
import { HASH_TAG } from '../wire/hash.ts';
import type { ExpectedContexts } from './answer.ts';
import type { CustodianKeys } from './custodian-keys.ts';

/** Returns everything in which a share is not that of this custodian, node and contexts. */
export function shareFaults(
  found: BackupMaterial,
  expected: {
    readonly keys: CustodianKeys;
    readonly role: number;
    readonly operatorKey: Uint8Array;
    readonly contexts: ExpectedContexts | undefined;
  },
): string[] {
  return faultsOf(found, {
    backupId: expected.contexts?.custodianContextId ?? found.backupId,
    mpcContextId: expected.contexts?.mpcContextId ?? found.mpcContextId,
    custodianKey: expected.keys.signer.publicKey,
    custodianRole: expected.role,
    operatorKey: expected.operatorKey,
  });
}

/**
 * Opens a custodian's own share in the node's recovery material and forgets it again.
 *
 * @param operatorKey - Compressed key that signed the material.
 * @throws {@link KmsError} `CIPHERTEXT_INVALID` if it cannot be opened with these keys, `REQUEST_INVALID` if it is
 *   another one than the node says.
 */
export function checkOwnShare(
  keys: CustodianKeys,
  role: number,
  material: RecoveryMaterial,
  operatorKey: Uint8Array,
): void {
  const { context, ciphertexts, commitments, mpcContextId } = material;
  const ciphertext = ciphertexts.get(role);
  const commitment = commitments.get(role);
  if (ciphertext === undefined || commitment === undefined) {
    throw new KmsError('NOT_FOUND', `the recovery material has no share for custodian ${role}`, { role });
  }
  const opened = unsigncryptFrom(operatorKey, HASH_TAG.backupToCustodian, ciphertext, keys);
  try {
    const share = decodeBackupMaterial(opened);
    share.share.fill(0);
    const contexts = { mpcContextId, custodianContextId: context.contextId };
    const faults = shareFaults(share, { keys, role, operatorKey, contexts });
    if (!equalBytes(backupCommitment(opened), commitment)) faults.push('it is not the share that was committed to');
    if (faults.length > 0) {
      throw new KmsError('REQUEST_INVALID', `the share in the recovery material is wrong: ${faults.join(', ')}`, {
        role,
      });
    }
  } finally {
    opened.fill(0);
  }
}
