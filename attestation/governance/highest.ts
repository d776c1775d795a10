/**
 * The rule of versions: the highest ever accepted wins, nothing goes back, and one version has one digest.
 */
import { equalBytes, toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';

/** The highest version ever accepted, and the digest that it had. */
export interface HighestSeen {
  readonly version: number;
  readonly digest: Uint8Array;
}

/**
 * Compares an offer with the highest version seen.
 *
 * @param what - Name of the object for the message, such as `the release set`.
 * @returns Whether the offer is the very object that was seen under this version.
 * @throws {@link KmsError} `PRECONDITION_FAILED` for an older version, `ALREADY_EXISTS` for another object of the
 *   same version: somebody with enough keys has signed two, and both digests are named.
 */
export function requireNoRollBack(
  what: string,
  { version, digest }: HighestSeen,
  highest: HighestSeen | undefined,
): boolean {
  if (highest === undefined || version > highest.version) return false;
  if (version < highest.version) {
    throw new KmsError('PRECONDITION_FAILED', `${what} has version ${version}, version ${highest.version} was seen`, {
      version,
      seen: highest.version,
    });
  }
  if (equalBytes(digest, highest.digest)) return true;
  throw new KmsError(
    'ALREADY_EXISTS',
    `${what} has version ${version} and digest ${toHex(digest)}, but ${toHex(highest.digest)} was seen under this version`,
    { version, digest: toHex(digest), seenDigest: toHex(highest.digest) },
  );
}
