/** Types of public and private objects: names (folder names too) and numbers as the published formats have them. */

/** Public data types in the order of their numbers, which is the order of key digests. */
export const PUBLIC_DATA_TYPES = [
  'ServerKey',
  'PublicKey',
  'PublicKeyMetadata',
  'CRS',
  'VerfKey',
  'VerfAddress',
  'DecompressionKey',
  'CACert',
  'RecoveryMaterial',
  'CompressedXofKeySet',
  'TypedVerfKey',
  'TypedVerfAddress',
] as const;
export type PublicDataType = (typeof PUBLIC_DATA_TYPES)[number];

/** Returns the type with this name, in any case, or undefined. */
export function publicDataType(name: string): PublicDataType | undefined {
  const wanted = name.toLowerCase();
  return PUBLIC_DATA_TYPES.find((type) => type.toLowerCase() === wanted);
}

/** Returns the number of a type. */
export function publicDataTypeNumber(type: PublicDataType): number {
  return PUBLIC_DATA_TYPES.indexOf(type);
}
