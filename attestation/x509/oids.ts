/** Object identifiers of the few algorithms, curves, names and extensions that our certificates use (RFC 5280, 5480). */

/** Dotted object identifiers by the name the RFCs give them. */
export const OID = {
  ecPublicKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  p384: '1.3.132.0.34',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  ecdsaWithSha384: '1.2.840.10045.4.3.3',
  commonName: '2.5.4.3',
  country: '2.5.4.6',
  organization: '2.5.4.10',
  organizationalUnit: '2.5.4.11',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
} as const;

/** Bits of the keyUsage extension by name (RFC 5280 §4.2.1.3); bit 0 is the first of the string. */
export const KEY_USAGE_BIT = {
  digitalSignature: 0,
  nonRepudiation: 1,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
} as const;

/** A name out of {@link KEY_USAGE_BIT}. */
export type KeyUsage = keyof typeof KEY_USAGE_BIT;
