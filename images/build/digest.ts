/** The digest that parts and files of an image are named by. */
import { createHash } from 'node:crypto';
import { KmsError } from '../../common/errors.ts';

/** SHA-256, lower-case hex. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Returns the bytes if they are the expected ones.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` with both digests.
 */
export function expectDigest<B extends Uint8Array>(what: string, bytes: B, expected: string): B {
  const found = sha256(bytes);
  if (found === expected) return bytes;
  throw new KmsError('PRECONDITION_FAILED', `${what} has the digest ${found} and should have ${expected}`, {
    found,
    expected,
  });
}
