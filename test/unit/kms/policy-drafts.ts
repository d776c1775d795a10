/** Key policies for tests: ours, and ours with a change. */
import { type KeyFacts, lintKeyPolicy } from '../../../wire/key-policy/lint.ts';
import { type KeyPolicyFields, makeKeyPolicy } from '../../../wire/key-policy/make.ts';
import { ACCOUNT, ADMIN_ARN, ENGINE_ARN } from '../../helpers/aws-kms.ts';
import { pcrOf, somePcrs } from '../../helpers/forge-document.ts';

export const PCR16 = pcrOf(16);
export const FIELDS: KeyPolicyFields = {
  account: ACCOUNT,
  engineRole: ENGINE_ARN,
  adminRole: ADMIN_ARN,
  releases: [
    { release: '1.0.0', pcrs: somePcrs('enclave', 3) },
    { release: '1.1.0', pcrs: new Map([0, 1, 2].map((index) => [index, pcrOf(index + 40)])) },
  ],
  pcr16: PCR16,
};
export const GOOD = makeKeyPolicy(FIELDS);
export const PREFIX = 'kms:RecipientAttestation:';
export const rulesOf = (text: string, key: KeyFacts = {}): string =>
  [...new Set(lintKeyPolicy(text, FIELDS, key).map(({ rule }) => rule))].sort().join(' ');

interface Draft {
  Version: unknown;
  Statement: Record<string, unknown>[];
  [field: string]: unknown;
}

/** Our policy with a change. */
export function changed(change: (policy: Draft, first: Record<string, unknown>) => void): string {
  const policy: Draft = JSON.parse(GOOD);
  const [first] = policy.Statement;
  if (first !== undefined) change(policy, first);
  return JSON.stringify(policy);
}

export const withPolicy = (change: Readonly<Record<string, unknown>>): string =>
  changed((policy) => void Object.assign(policy, change));
export const withFirst = (change: Readonly<Record<string, unknown>>): string =>
  changed((_, first) => void Object.assign(first, change));
export const CONDITION: unknown = JSON.parse(GOOD).Statement[0].Condition;
export const withStatement = (statement: Readonly<Record<string, unknown>>): string =>
  changed((policy) => policy.Statement.push({ Sid: 'More', Effect: 'Allow', Resource: '*', ...statement }));
export const withConditions = (change: (conditions: Record<string, unknown>) => Record<string, unknown>): string =>
  changed((_, first) => {
    const block = Object(CONDITION);
    first.Condition = { StringEqualsIgnoreCase: change({ ...block.StringEqualsIgnoreCase }) };
  });
export const admin = (action: unknown) => withStatement({ Principal: { AWS: ADMIN_ARN }, Action: action });
