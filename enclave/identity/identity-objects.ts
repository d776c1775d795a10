/**
 * The node's identity as public objects: verification keys and addresses of all schemes, and the CA certificate.
 *
 * All of it is public and the same at every start, so that writing it again changes nothing. Spec: kms-service.md
 * section 6.1.
 */
import { toHex } from '../../common/bytes.ts';
import { SigningSchemeType } from '../../proto/gen/kms_pb.js';
import { formatAddress } from '../../wire/addresses.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import type { PublicDataType } from '../../wire/public-data.ts';
import {
  DERIVED_SCHEMES,
  derivedKeyDigest,
  encodePublicSigKey,
  encodeTypedVerfKey,
  typedVerfKeyId,
} from '../../wire/signing-keys.ts';
import type { NodeIdentity } from './node-identity.ts';

/** A public object that belongs to the node. */
export interface IdentityObject {
  readonly type: PublicDataType;
  readonly id: string;
  readonly content: Uint8Array;
}

/** Returns the identity's public objects, scalar ones first. */
export function identityObjects({ key, certificate }: NodeIdentity): IdentityObject[] {
  const text = new TextEncoder();
  const verfKey = encodePublicSigKey(key.publicKey);
  const verfAddress = text.encode(formatAddress(key.address));
  const ecdsaId = typedVerfKeyId(SigningSchemeType.ECDSA256K1);
  return [
    { type: 'VerfKey', id: SIGNING_KEY_ID, content: verfKey },
    { type: 'VerfAddress', id: SIGNING_KEY_ID, content: verfAddress },
    { type: 'CACert', id: SIGNING_KEY_ID, content: text.encode(certificate) },
    { type: 'TypedVerfKey', id: ecdsaId, content: verfKey },
    { type: 'TypedVerfAddress', id: ecdsaId, content: verfAddress },
    ...DERIVED_SCHEMES.flatMap((scheme): IdentityObject[] => {
      const publicKey = key.derivedPublicKey(scheme.scheme);
      const id = typedVerfKeyId(scheme.scheme);
      const digest = text.encode(`0x${toHex(derivedKeyDigest(scheme, publicKey))}`);
      return [
        { type: 'TypedVerfKey', id, content: encodeTypedVerfKey(scheme, publicKey) },
        { type: 'TypedVerfAddress', id, content: digest },
      ];
    }),
  ];
}
