/**
 * What actions of AWS KMS mean for a key that only attested enclaves may use.
 */

/** Give out what was encrypted under the key; for attested enclaves alone. */
export const USE_ACTIONS = ['kms:Decrypt', 'kms:GenerateDataKey'] as const;

/** Let an engine see for itself that nobody else may use the key. */
export const CHECK_ACTIONS = ['kms:DescribeKey', 'kms:GetKeyPolicy', 'kms:ListGrants'] as const;

/** Harmless to secrecy: they tell of the key, or can at most refuse its service. */
export const ADMIN_ACTIONS: readonly string[] = [
  ...CHECK_ACTIONS,
  'kms:CancelKeyDeletion',
  'kms:CreateAlias',
  'kms:DeleteAlias',
  'kms:DisableKey',
  'kms:DisableKeyRotation',
  'kms:EnableKey',
  'kms:EnableKeyRotation',
  'kms:GetKeyRotationStatus',
  'kms:GetPublicKey',
  'kms:ListKeyPolicies',
  'kms:ListKeyRotations',
  'kms:ListResourceTags',
  'kms:RevokeGrant',
  'kms:RotateKeyOnDemand',
  'kms:ScheduleKeyDeletion',
  'kms:TagResource',
  'kms:UntagResource',
  'kms:UpdateAlias',
  'kms:UpdateKeyDescription',
];

/** Why nobody may have an action. */
export const FORBIDDEN_ACTIONS: ReadonlyMap<string, string> = new Map([
  ['kms:putkeypolicy', 'whoever has it can write a policy without attestation'],
  ['kms:creategrant', 'a grant stands beside the policy, and no condition on attestation touches it'],
  ['kms:replicatekey', 'a replica has a policy of its own'],
  ['kms:updateprimaryregion', 'it moves the key to where another policy holds'],
  ['kms:synchronizemultiregionkey', 'it is for keys of several regions'],
  ['kms:importkeymaterial', 'who imports key material has it outside'],
  ['kms:deleteimportedkeymaterial', 'it is for keys whose material came from outside'],
  ['kms:getparametersforimport', 'it is for keys whose material came from outside'],
  ['kms:encrypt', 'it makes wrapped keys that no enclave made'],
  ['kms:reencryptfrom', 'it unwraps here and wraps under a key without attestation'],
  ['kms:reencryptto', 'it makes wrapped keys that no enclave made'],
  ['kms:generatedatakeywithoutplaintext', 'it makes wrapped keys that no enclave made'],
  ['kms:generatedatakeypair', 'it is of no use here'],
  ['kms:generatedatakeypairwithoutplaintext', 'it is of no use here'],
  ['kms:derivesharedsecret', 'it is of no use here'],
  ['kms:sign', 'it is of no use here'],
  ['kms:generatemac', 'it is of no use here'],
]);
