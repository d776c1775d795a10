/**
 * A custodian's answer to a recovery request: its share, opened and sealed again for the node's ephemeral key.
 * SECRET: the share. Whether the request may be answered at all is `verify-request.ts`'s to say, before this.
 */
import { KmsError } from '../common/errors.ts';
import type { RandomSource } from '../common/random.ts';
import { decodeBackupMaterial } from '../wire/custodian/backup-material.ts';
import type { RecoveryOutput, RecoveryRequest } from '../wire/custodian/recovery-request.ts';
import { signcryptFor, unsigncryptFrom } from '../wire/custodian/signcryption.ts';
import { HASH_TAG } from '../wire/hash.ts';
import type { RequestId } from '../wire/ids.ts';
import { addressOfCompressedKey } from '../wire/signatures.ts';
import type { CustodianKeys } from './custodian-keys.ts';
import { shareFaults } from './own-share.ts';

/** Contexts that the share must belong to; undefined where the custodian has nothing to compare with. */
export interface ExpectedContexts {
  readonly mpcContextId: RequestId;
  readonly custodianContextId: RequestId;
}

/**
 * Answers a request.
 *
 * @param role - The custodian's number.
 * @throws {@link KmsError} `NOT_FOUND` if the request has no share for this custodian, `CIPHERTEXT_INVALID` if the
 *   share cannot be opened with these keys, `REQUEST_INVALID` if it is not this custodian's or of other contexts.
 */
export function answerRequest(
  keys: CustodianKeys,
  role: number,
  request: RecoveryRequest,
  expected: ExpectedContexts | undefined,
  random: RandomSource,
): RecoveryOutput {
  const ciphertext = request.ciphertexts.get(role);
  if (ciphertext === undefined) {
    const roles = [...request.ciphertexts.keys()].join(', ');
    throw new KmsError('NOT_FOUND', `the request has no share for custodian ${role}, but for ${roles}`, { role });
  }
  const material = unsigncryptFrom(request.operatorKey, HASH_TAG.backupToCustodian, ciphertext, keys);
  try {
    const share = decodeBackupMaterial(material);
    share.share.fill(0);
    const faults = shareFaults(share, { keys, role, operatorKey: request.operatorKey, contexts: expected });
    if (faults.length > 0) {
      throw new KmsError('REQUEST_INVALID', `the share is not what was asked for: ${faults.join(', ')}`, { role });
    }
    const receiver = { address: addressOfCompressedKey(request.operatorKey), ek: request.ephemeralKey };
    const tag = HASH_TAG.backupRecovery;
    return { custodianRole: role, signcryption: signcryptFor(receiver, tag, material, keys.signer, random) };
  } finally {
    material.fill(0);
  }
}
