/**
 * Makes the policy of a root key that only engines of named releases, under one party's charter, can use, and that nobody
 * can change. docs/formats/key-policy.json is its output with names in place of values.
 */
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { ADMIN_ACTIONS, CHECK_ACTIONS, USE_ACTIONS } from './actions.ts';
import { type KeyPolicyExpectation, lintKeyPolicy } from './lint.ts';

/** What a policy is made of. */
export interface KeyPolicyFields extends KeyPolicyExpectation {
  /** ARN of the role that may describe, disable and delete the key. */
  readonly adminRole: string;
}

/** What the administrator gets of the harmless actions: nothing about aliases, tags and rotation, which nobody needs here. */
const ADMIN_GETS = [
  'kms:CancelKeyDeletion',
  'kms:DescribeKey',
  'kms:DisableKey',
  'kms:EnableKey',
  'kms:GetKeyPolicy',
  'kms:GetPublicKey',
  'kms:ListGrants',
  'kms:ListKeyPolicies',
  'kms:RevokeGrant',
  'kms:ScheduleKeyDeletion',
].filter((action) => ADMIN_ACTIONS.includes(action));

/**
 * Returns the policy as JSON text; give it to `CreateKey` with `BypassPolicyLockoutSafetyCheck`.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all findings if what it would say does not keep the rules: no release, a
 *   register missing or zero, a role of another account.
 */
export function makeKeyPolicy(fields: KeyPolicyFields): string {
  const text = JSON.stringify(policyOf(fields), undefined, 2);
  const findings = lintKeyPolicy(text, fields);
  if (findings.length === 0) return text;
  const reasons = findings.map(({ rule, message }) => `${rule}: ${message}`).join('; ');
  throw new KmsError('REQUEST_INVALID', `no policy can be made of this: ${reasons}`, {
    rules: findings.map(({ rule }) => rule).join(' '),
  });
}

function policyOf({ engineRole, adminRole, releases, pcr16 }: KeyPolicyFields): Readonly<Record<string, unknown>> {
  const allow = (sid: string, principal: string, actions: readonly string[]) => ({
    Sid: sid,
    Effect: 'Allow',
    Principal: { AWS: principal },
    Action: [...actions],
    Resource: '*',
  });
  const uses = releases.map(({ pcrs }, index) => ({
    ...allow(`EngineUse${index + 1}`, engineRole, USE_ACTIONS),
    Condition: { StringEqualsIgnoreCase: conditionsOf(pcrs, pcr16) },
  }));
  return {
    Version: '2012-10-17',
    Statement: [
      ...uses,
      allow('EngineCheck', engineRole, [...CHECK_ACTIONS, 'kms:GetPublicKey']),
      allow('Administration', adminRole, ADMIN_GETS),
    ],
  };
}

function conditionsOf(pcrs: ReadonlyMap<number, Uint8Array>, pcr16: Uint8Array): Readonly<Record<string, string>> {
  const of = (index: number): string => toHex(pcrs.get(index) ?? new Uint8Array(0));
  return {
    'kms:RecipientAttestation:ImageSha384': of(0),
    'kms:RecipientAttestation:PCR0': of(0),
    'kms:RecipientAttestation:PCR1': of(1),
    'kms:RecipientAttestation:PCR2': of(2),
    'kms:RecipientAttestation:PCR16': toHex(pcr16),
  };
}
