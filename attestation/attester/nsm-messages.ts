/**
 * The requests and answers of a Nitro Security Module as values. Shapes and error names are the device's own
 * (serde enums: a variant without fields is a text, any other a map of one entry).
 */

/** Every way in which a device refuses, as it spells them. */
export const NSM_ERRORS = [
  'InvalidArgument',
  'InvalidIndex',
  'InvalidResponse',
  'ReadOnlyIndex',
  'InvalidOperation',
  'BufferTooSmall',
  'InputTooLarge',
  'InternalError',
] as const;

/** A name out of {@link NSM_ERRORS}. */
export type NsmErrorName = (typeof NSM_ERRORS)[number];

/** A refusal. */
export interface NsmError {
  readonly kind: 'Error';
  readonly error: NsmErrorName;
}

/** What a device can be asked. */
export type NsmRequest =
  | { readonly kind: 'DescribeNSM' }
  | { readonly kind: 'GetRandom' }
  | { readonly kind: 'DescribePCR'; readonly index: number }
  | { readonly kind: 'ExtendPCR'; readonly index: number; readonly data: Uint8Array }
  | { readonly kind: 'LockPCR'; readonly index: number }
  | { readonly kind: 'LockPCRs'; readonly range: number }
  | {
      readonly kind: 'Attestation';
      readonly userData: Uint8Array | undefined;
      readonly nonce: Uint8Array | undefined;
      readonly publicKey: Uint8Array | undefined;
    };

/** What a device answers. */
export type NsmResponse =
  | {
      readonly kind: 'DescribeNSM';
      readonly version: readonly [major: number, minor: number, patch: number];
      readonly moduleId: string;
      readonly maxPcrs: number;
      readonly lockedPcrs: readonly number[];
      readonly digest: string;
    }
  | { readonly kind: 'GetRandom'; readonly random: Uint8Array }
  | { readonly kind: 'DescribePCR'; readonly lock: boolean; readonly data: Uint8Array }
  | { readonly kind: 'ExtendPCR'; readonly data: Uint8Array }
  | { readonly kind: 'LockPCR' }
  | { readonly kind: 'LockPCRs' }
  | { readonly kind: 'Attestation'; readonly document: Uint8Array }
  | NsmError;
