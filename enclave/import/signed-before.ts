/**
 * Whether what moves in was signed by the node that it comes from: the ids, and the digests of what was published. Objects of
 * the published layout say so of themselves only; the address is the one that governance has named.
 *
 * Spec: kms-service.md section 4.4. Nothing here is secret.
 */
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { crsgenDigest, type Domain, isSignedKeyType, keygenDigest } from '../../wire/eip712.ts';
import { recoverSigner } from '../../wire/signatures.ts';
import type { Resigner } from './foreign-items.ts';

/**
 * Returns what hands metadata back that the address has signed under the domain, with extra data or, as older releases did,
 * without, and refuses any other with `STATE_INVALID`.
 */
export function signedBefore(address: Uint8Array, domain: Domain): Resigner {
  const require = (name: string, signature: Uint8Array, digests: readonly Uint8Array[]): void => {
    if (digests.some((digest) => isSignedBy(address, digest, signature))) return;
    const message = `${name} is not signed by the address that moves in under the domain ${domain.name} ${domain.version}`;
    throw new KmsError('STATE_INVALID', `${message}: give the domain that it was made under`);
  };
  return {
    keySet(metadata) {
      const { keyId, preprocessingId: prepKeygenId, extraData, externalSignature } = metadata;
      const keyDigests = metadata.keyDigests.map(({ type, digest }) => {
        if (isSignedKeyType(type)) return { type, digest };
        throw new KmsError('STATE_INVALID', `key ${keyId} names ${type}, which no signature of its node covers`);
      });
      const signed = { domain, prepKeygenId, keyId, keyDigests };
      const digests = ways(extraData).map((extra) => keygenDigest({ ...signed, extraData: extra }));
      require(`key ${keyId}`, externalSignature, digests);
      return metadata;
    },
    crs(metadata) {
      const { crsId, maxNumBits: maxBitLength, crsDigest, extraData, externalSignature } = metadata;
      const signed = { domain, crsId, maxBitLength, crsDigest };
      const digests = ways(extraData).map((extra) => crsgenDigest({ ...signed, extraData: extra }));
      require(`CRS ${crsId}`, externalSignature, digests);
      return metadata;
    },
  };
}

/** What knows no extra data has none. */
const ways = (extraData: Uint8Array): readonly (Uint8Array | undefined)[] =>
  extraData.byteLength === 0 ? [extraData, undefined] : [extraData];

function isSignedBy(address: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean {
  try {
    return equalBytes(recoverSigner(digest, signature), address);
  } catch (error) {
    if (isKmsError(error, 'REQUEST_INVALID')) return false;
    throw error;
  }
}
