/**
 * Grants: permissions to use a key that stand beside its policy, and which its conditions do not touch.
 */
import type { EncryptionContext } from './fields.ts';
import type { Caller } from './identities.ts';

/** Operations that a grant may allow. */
export const GRANT_OPERATIONS = [
  'Decrypt',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyWithoutPlaintext',
  'ReEncryptFrom',
  'ReEncryptTo',
  'Sign',
  'Verify',
  'GetPublicKey',
  'CreateGrant',
  'RetireGrant',
  'DescribeKey',
  'GenerateDataKeyPair',
  'GenerateDataKeyPairWithoutPlaintext',
  'GenerateMac',
  'VerifyMac',
  'DeriveSharedSecret',
] as const;

/** A word out of {@link GRANT_OPERATIONS}. */
export type GrantOperation = (typeof GRANT_OPERATIONS)[number];

/** One grant. */
export interface Grant {
  readonly grantId: string;
  readonly name: string | undefined;
  readonly granteePrincipal: string;
  readonly retiringPrincipal: string | undefined;
  readonly issuingAccount: string;
  readonly operations: readonly GrantOperation[];
  /** The request's encryption context must be this one, or have it within. */
  readonly constraint: { readonly kind: 'equals' | 'subset'; readonly pairs: EncryptionContext } | undefined;
  readonly createdAtMs: number;
}

/** Returns the grants that let a caller do something under an encryption context. */
export function grantsFor(
  grants: readonly Grant[],
  caller: Caller,
  operation: string,
  context: EncryptionContext,
): readonly Grant[] {
  return grants.filter(
    (grant) =>
      caller.names.includes(grant.granteePrincipal) &&
      grant.operations.some((allowed) => allowed === operation) &&
      constraintHolds(grant.constraint, context),
  );
}

function constraintHolds(constraint: Grant['constraint'], context: EncryptionContext): boolean {
  if (constraint === undefined) return true;
  if (constraint.kind === 'equals' && constraint.pairs.size !== context.size) return false;
  return [...constraint.pairs].every(([key, value]) => context.get(key) === value);
}
