/** Why requests to a quorum fail, and which failures last. */
import { isKmsError, KmsError } from '../../common/errors.ts';

/** The engine takes no more requests. */
export function stopping(): KmsError {
  return new KmsError('UNAVAILABLE', 'the engine is stopping');
}

/** Whether the request itself is at fault, and not this engine at this time. */
export function isForGood(error: unknown): boolean {
  return isKmsError(error) && ['CIPHERTEXT_INVALID', 'KEY_INVALID', 'REQUEST_INVALID'].includes(error.code);
}
