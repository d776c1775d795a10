/** Operations on keys themselves: making, describing, enabling, policies. */

import { authorize } from './authorize.ts';
import { AwsError, malformedPolicy } from './aws-error.ts';
import { publicKeyOf, RSA_ALGORITHMS } from './ciphertext.ts';
import { authorizeAccount, authorizeKey, type Call, contextOfKey, needUsable, type Operation } from './emulator.ts';
import { type Fields, needText, readFlag, readText, readWord } from './fields.ts';
import { KEY_ORIGINS, KEY_SPECS, type Key, partitionOf } from './keys.ts';
import { type PolicyDocument, readPolicy } from './policy-document.ts';

const MAX_POLICY = 131_072;
const DEFAULT = 'default';

const createKey: Operation = (call) => {
  const { emulator, fields, caller } = call;
  const spec = readWord(fields, 'KeySpec', KEY_SPECS) ?? readWord(fields, 'CustomerMasterKeySpec', KEY_SPECS);
  const usage = readWord(fields, 'KeyUsage', ['ENCRYPT_DECRYPT']);
  if (spec !== undefined && spec !== 'SYMMETRIC_DEFAULT' && usage === undefined) {
    throw new AwsError('ValidationException', 'You must specify a KeyUsage value for an asymmetric CMK.');
  }
  const made = {
    spec: spec ?? 'SYMMETRIC_DEFAULT',
    origin: readWord(fields, 'Origin', KEY_ORIGINS) ?? 'AWS_KMS',
    multiRegion: readFlag(fields, 'MultiRegion'),
    description: readText(fields, 'Description', { min: 0, max: 8192 }) ?? '',
  } as const;
  const bypass = readFlag(fields, 'BypassPolicyLockoutSafetyCheck');
  const account = `arn:${partitionOf(emulator.region)}:iam::${caller.account}:root`;
  const policy = readPolicy(readText(fields, 'Policy', { max: MAX_POLICY }) ?? defaultPolicy(account), 'key');
  authorizeAccount(call, new Map([...contextOfKey(made), ['kms:bypasspolicylockoutsafetycheck', [String(bypass)]]]));
  const key = emulator.keys.create(made, (arn) => {
    if (!bypass) checkLockout(call, policy, arn);
    return policy;
  });
  return { KeyMetadata: metadataOf(key, emulator.account) };
};

function defaultPolicy(account: string): string {
  const statement = {
    Sid: 'Enable IAM User Permissions',
    Effect: 'Allow',
    Principal: { AWS: account },
    Action: 'kms:*',
    Resource: '*',
  };
  return JSON.stringify({ Version: '2012-10-17', Id: 'key-default-1', Statement: [statement] });
}

/** AWS refuses a policy under which its author could not change it again, unless told otherwise. */
function checkLockout({ caller, connection }: Call, policy: PolicyDocument, arn: string): void {
  try {
    authorize({ caller, action: 'kms:PutKeyPolicy', resource: arn, context: connection }, { policy });
  } catch {
    throw malformedPolicy('The new key policy will not allow you to update the key policy in the future.');
  }
}

function metadataOf(key: Key, account: string): Fields {
  const isSymmetric = key.spec === 'SYMMETRIC_DEFAULT';
  return {
    AWSAccountId: account,
    KeyId: key.id,
    Arn: key.arn,
    CreationDate: key.createdAtMs / 1000,
    Enabled: key.state === 'Enabled',
    Description: key.description,
    KeyUsage: 'ENCRYPT_DECRYPT',
    KeyState: key.state,
    Origin: key.origin,
    KeyManager: 'CUSTOMER',
    CustomerMasterKeySpec: key.spec,
    KeySpec: key.spec,
    EncryptionAlgorithms: isSymmetric ? ['SYMMETRIC_DEFAULT'] : RSA_ALGORITHMS,
    MultiRegion: key.multiRegion,
    ...(key.multiRegion
      ? {
          MultiRegionConfiguration: {
            MultiRegionKeyType: 'PRIMARY',
            PrimaryKey: { Arn: key.arn, Region: key.arn.split(':')[3] },
            ReplicaKeys: [],
          },
        }
      : {}),
  };
}

/** Finds the key that a call names, and judges the call. */
function judged(call: Call): Key {
  const key = call.emulator.keys.find(needText(call.fields, 'KeyId'));
  authorizeKey(call, key);
  return key;
}

const describeKey: Operation = (call) => ({ KeyMetadata: metadataOf(judged(call), call.emulator.account) });

const setEnabled =
  (state: 'Enabled' | 'Disabled'): Operation =>
  (call) => {
    const key = judged(call);
    if (key.state === 'PendingImport') throw new AwsError('KMSInvalidStateException', `${key.arn} is pending import.`);
    key.state = state;
    call.emulator.keys.save();
    return undefined;
  };

function checkPolicyName(fields: Fields): void {
  const name = readText(fields, 'PolicyName', { max: 128 }) ?? DEFAULT;
  if (name !== DEFAULT) throw new AwsError('NotFoundException', 'No such policy exists');
}

const getKeyPolicy: Operation = (call) => {
  const key = judged(call);
  checkPolicyName(call.fields);
  return { Policy: key.policy.text, PolicyName: DEFAULT };
};

const putKeyPolicy: Operation = (call) => {
  const { fields, emulator } = call;
  const key = emulator.keys.find(needText(fields, 'KeyId'));
  const bypass = readFlag(fields, 'BypassPolicyLockoutSafetyCheck');
  authorizeKey(call, key, { more: new Map([['kms:bypasspolicylockoutsafetycheck', [String(bypass)]]]) });
  checkPolicyName(fields);
  const policy = readPolicy(needText(fields, 'Policy', { max: MAX_POLICY }), 'key');
  if (!bypass) checkLockout(call, policy, key.arn);
  key.policy = policy;
  emulator.keys.save();
  return undefined;
};

const getPublicKey: Operation = (call) => {
  const key = judged(call);
  if (key.spec === 'SYMMETRIC_DEFAULT') {
    throw new AwsError('UnsupportedOperationException', `You cannot perform this operation on a symmetric key.`);
  }
  needUsable(key);
  return {
    KeyId: key.arn,
    PublicKey: Buffer.from(publicKeyOf(key)).toString('base64'),
    CustomerMasterKeySpec: key.spec,
    KeySpec: key.spec,
    KeyUsage: 'ENCRYPT_DECRYPT',
    EncryptionAlgorithms: RSA_ALGORITHMS,
  };
};

/** By name. */
export const KEY_OPERATIONS: Readonly<Record<string, Operation>> = {
  CreateKey: createKey,
  DescribeKey: describeKey,
  EnableKey: setEnabled('Enabled'),
  DisableKey: setEnabled('Disabled'),
  GetKeyPolicy: getKeyPolicy,
  PutKeyPolicy: putKeyPolicy,
  GetPublicKey: getPublicKey,
};
