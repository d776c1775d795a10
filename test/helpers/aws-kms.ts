/**
 * An emulated AWS KMS for one test, with an administrator, an engine's role, an attested enclave under the emulator's
 * root, and the AWS SDK's own client for each of them.
 */
import { CreateKeyCommand, KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms';
import { type DeveloperRootKey, makeDeveloperRoot } from '../../attestation/developer/chain.ts';
import { toHex } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { systemClock } from '../../common/clock.ts';
import type { AwsError } from '../../emulators/aws-kms/aws-error.ts';
import {
  type KmsCall,
  type KmsEmulator,
  type KmsEmulatorOptions,
  startKmsEmulator,
} from '../../emulators/aws-kms/server.ts';
import { startTestAttester, type TestAttester } from './software-nsm.ts';
import type { Teardown } from './temp-dir.ts';

export const REGION = 'eu-central-1';
export const ACCOUNT = '111122223333';
export const ROOT_ARN = `arn:aws:iam::${ACCOUNT}:root`;
export const ADMIN_ARN = `arn:aws:iam::${ACCOUNT}:role/kms-admin`;
export const ENGINE_ARN = `arn:aws:iam::${ACCOUNT}:role/engine`;
export const STRANGER_ARN = `arn:aws:iam::${ACCOUNT}:user/stranger`;

/** IAM policy that allows everything: what attestation must hold against. */
export const ALLOW_ALL = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 'kms:*', Resource: '*' }],
});

const CREDENTIALS = {
  admin: { accessKeyId: 'AKIAADMIN00000000001', secretAccessKey: 'admin/secret' },
  engine: { accessKeyId: 'AKIAENGINE0000000001', secretAccessKey: 'engine/secret' },
  stranger: { accessKeyId: 'AKIASTRANGER00000001', secretAccessKey: 'stranger/secret' },
} as const;

/** Who may call. */
export type Who = keyof typeof CREDENTIALS;

/** Returns the credentials of one of them. */
export const credentialsOf = (who: Who): (typeof CREDENTIALS)[Who] => CREDENTIALS[who];

/** A running emulator and those around it. */
export interface TestKms {
  readonly emulator: KmsEmulator;
  readonly root: DeveloperRootKey;
  readonly enclave: TestAttester;
  readonly calls: readonly KmsCall[];
  /** Refusals that are given before anything is looked at, in turn; `'cut'` ends the connection. */
  readonly planned: (AwsError | 'cut')[];
  /** The unmodified SDK; it does not try again by itself. */
  client(who: Who, change?: KMSClientConfig): KMSClient;
}

/** Settings of {@link startTestKms}. */
export interface TestKmsOptions extends Partial<KmsEmulatorOptions> {
  readonly clock?: Clock;
  /** Extends PCR16 of the enclave. */
  readonly charterDigest?: Uint8Array;
}

/** Starts an emulator that ends with the test. */
export async function startTestKms(t: Teardown, options: TestKmsOptions = {}): Promise<TestKms> {
  const { clock = systemClock, charterDigest = new Uint8Array(48).fill(7), ...change } = options;
  const root = makeDeveloperRoot({ nowMs: clock.nowMs() - 1000 });
  const enclave = await startTestAttester({ role: 'engine', root, clock, charterDigest });
  const calls: KmsCall[] = [];
  const planned: TestKms['planned'] = [];
  const emulator = await startKmsEmulator({
    region: REGION,
    account: ACCOUNT,
    anchor: enclave.anchor,
    identities: [
      { ...CREDENTIALS.admin, arn: ADMIN_ARN, policies: [ALLOW_ALL] },
      { ...CREDENTIALS.engine, arn: ENGINE_ARN },
      { ...CREDENTIALS.stranger, arn: STRANGER_ARN, policies: [ALLOW_ALL] },
    ],
    clock,
    onCall: (call) => calls.push(call),
    intercept: () => planned.shift(),
    ...change,
  });
  t.teardown(() => emulator.close());
  return {
    emulator,
    root,
    enclave,
    calls,
    planned,
    client(who, clientChange = {}) {
      const client = new KMSClient({
        region: REGION,
        endpoint: emulator.url,
        credentials: CREDENTIALS[who],
        maxAttempts: 1,
        ...clientChange,
      });
      t.teardown(() => client.destroy());
      return client;
    },
  };
}

/** Returns a key policy of whole statements. */
export const policyOf = (...statements: readonly Readonly<Record<string, unknown>>[]): string =>
  JSON.stringify({ Version: '2012-10-17', Statement: statements });

/** A statement that lets the administrator do everything. */
export const ADMIN_MAY_ALL = {
  Effect: 'Allow',
  Principal: { AWS: ADMIN_ARN },
  Action: 'kms:*',
  Resource: '*',
} as const;

/** A statement that lets the engine's role do something, under conditions. */
export const engineMay = (
  actions: readonly string[],
  condition?: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> => ({
  Effect: 'Allow',
  Principal: { AWS: ENGINE_ARN },
  Action: actions,
  Resource: '*',
  ...(condition === undefined ? {} : { Condition: condition }),
});

/** What attested enclaves are allowed. */
export const USE = ['kms:Decrypt', 'kms:GenerateDataKey'];

/** Makes a key and returns its ARN. */
export async function makeKey(client: KMSClient, policy: string, change: object = {}): Promise<string> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({ Policy: policy, ...change }));
  return KeyMetadata?.Arn ?? '';
}

/** Conditions that name the enclave of a test. */
export function attested(
  { enclave }: TestKms,
  change: Readonly<Record<string, string>> = {},
): Readonly<Record<string, unknown>> {
  const pcr = (index: number) => toHex(enclave.pcrs.get(index) ?? new Uint8Array(0));
  return {
    StringEqualsIgnoreCase: {
      'kms:RecipientAttestation:ImageSha384': pcr(0).toUpperCase(),
      'kms:RecipientAttestation:PCR0': pcr(0),
      'kms:RecipientAttestation:PCR1': pcr(1),
      'kms:RecipientAttestation:PCR2': pcr(2),
      ...change,
    },
  };
}

/** `Recipient` over a fresh document. */
export async function recipientOf({ enclave }: TestKms, publicKey: Uint8Array | undefined) {
  const AttestationDocument = await enclave.nsm.attest({ publicKey });
  return { AttestationDocument, KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256' } as const;
}
