/**
 * The engine's own look at its root key before it seals anything: policy, origin, grants, region. Nothing here is secret.
 */
import { DescribeKeyCommand, GetKeyPolicyCommand, ListGrantsCommand } from '@aws-sdk/client-kms';
import { KmsError } from '../../common/errors.ts';
import {
  type KeyFacts,
  type KeyPolicyExpectation,
  lintKeyPolicy,
  type PolicyFinding,
} from '../../wire/key-policy/lint.ts';
import { keyPolicyHash } from '../../wire/key-policy/policy-text.ts';
import { KmsCaller, type KmsCallerOptions } from './kms-caller.ts';

/** A root key that may be used. */
export interface CheckedRootKey {
  /** SHA-384 that stands in the hello to peers. */
  readonly policyHash: Uint8Array;
  readonly warnings: readonly PolicyFinding[];
}

/** More pages of grants than this are not read: one grant is one too many. */
const GRANTS_PAGE = 100;

/**
 * Checks that attested enclaves of the expected releases can use a key, that nobody else can, and that nobody can change it.
 *
 * @throws KmsError `PRECONDITION_FAILED` with everything that is wrong; `facts.rules` names the rules. Otherwise as
 *   `DataKeyring.generate`.
 */
export async function checkRootKey(
  options: KmsCallerOptions,
  expected: Omit<KeyPolicyExpectation, 'account'>,
  signal?: AbortSignal,
): Promise<CheckedRootKey> {
  const caller = new KmsCaller(options);
  try {
    const { policy, key } = await readRootKey(caller, signal);
    const { account } = caller.arn;
    const findings = lintKeyPolicy(policy, { ...expected, account }, key);
    const errors = findings.filter(({ severity }) => severity === 'error');
    if (errors.length > 0) throw unsafe(errors, caller.keyArn);
    return { policyHash: keyPolicyHash(policy), warnings: findings };
  } finally {
    caller.close();
  }
}

async function readRootKey(
  caller: KmsCaller,
  signal: AbortSignal | undefined,
): Promise<{ readonly policy: string; readonly key: KeyFacts }> {
  const { client, keyArn } = caller;
  const KeyId = keyArn;
  const options = { ...(signal && { abortSignal: signal }) };
  const described = await caller.call(
    'DescribeKey',
    () => client.send(new DescribeKeyCommand({ KeyId }), options),
    signal,
  );
  const policy = await caller.call(
    'GetKeyPolicy',
    () => client.send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'default' }), options),
    signal,
  );
  const grants = await caller.call(
    'ListGrants',
    () => client.send(new ListGrantsCommand({ KeyId, Limit: GRANTS_PAGE }), options),
    signal,
  );
  const metadata = described.KeyMetadata;
  // What AWS leaves out is not taken as harmless.
  if (metadata?.Arn !== keyArn || policy.Policy === undefined || grants.Grants === undefined) {
    throw new KmsError('STATE_INVALID', 'AWS KMS says too little about the root key', { keyArn });
  }
  const isCustom = metadata.CustomKeyStoreId !== undefined || metadata.XksKeyConfiguration !== undefined;
  return {
    policy: policy.Policy,
    key: {
      origin: metadata.Origin ?? 'unknown',
      multiRegion: metadata.MultiRegion !== false,
      keySpec: metadata.KeySpec ?? 'unknown',
      keyUsage: metadata.KeyUsage ?? 'unknown',
      keyState: metadata.KeyState ?? 'unknown',
      keyManager: metadata.KeyManager ?? 'unknown',
      customKeyStore: isCustom,
      grants: grants.Grants.length + (grants.Truncated === true ? 1 : 0),
    },
  };
}

function unsafe(errors: readonly PolicyFinding[], keyArn: string): KmsError {
  const lines = errors.map(({ rule, statement, message }) => {
    const where = statement === undefined ? '' : ` (statement ${statement})`;
    return `${rule}${where}: ${message}`;
  });
  const rules = [...new Set(errors.map(({ rule }) => rule))].join(' ');
  return new KmsError('PRECONDITION_FAILED', `the root key is not safe to use: ${lines.join('; ')}`, { keyArn, rules });
}
