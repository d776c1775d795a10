import { CreateKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import { DATA_KEY_PURPOSES, type DataKeyBinding } from '../../enclave/keychain/data-keys.ts';
import type { KmsCallerOptions } from '../../enclave/keychain/kms-caller.ts';
import { makeKeyPolicy } from '../../wire/key-policy/make.ts';
import {
  ACCOUNT,
  ADMIN_ARN,
  credentialsOf,
  ENGINE_ARN,
  startTestKms,
  type TestKms,
  type TestKmsOptions,
} from './aws-kms.ts';
import { testPcrs } from './software-nsm.ts';
import type { Teardown } from './temp-dir.ts';

/** Digest of the charter under which the test's enclave runs. */
export const CHARTER = new Uint8Array(48).fill(7);
/** What a data key of a test is for. */
export const BINDING: DataKeyBinding = {
  purpose: 'private-object',
  charterDigest: CHARTER,
  party: 1,
  contextId: 'aa'.repeat(32),
  epochId: 'bb'.repeat(32),
  object: `FheKeyInfo/${'bb'.repeat(32)}/${'cc'.repeat(32)}`,
};
/** The same with one fact changed. */
export const OTHERS: readonly [string, DataKeyBinding][] = [
  ['purpose', { ...BINDING, purpose: DATA_KEY_PURPOSES[1] }],
  ['charter', { ...BINDING, charterDigest: new Uint8Array(48) }],
  ['party', { ...BINDING, party: 2 }],
  ['context', { ...BINDING, contextId: undefined }],
  ['epoch', { ...BINDING, epochId: 'bc'.repeat(32) }],
  ['object', { ...BINDING, object: `${BINDING.object}0` }],
];

/** The policy of our own making for the enclave of a test. */
export async function ourPolicy({ enclave }: TestKms, release = 'test'): Promise<string> {
  const pcr16 = (await enclave.nsm.describePcr(16)).value;
  const releases = [{ release, pcrs: testPcrs('engine', release) }];
  return makeKeyPolicy({ account: ACCOUNT, engineRole: ENGINE_ARN, adminRole: ADMIN_ARN, releases, pcr16 });
}

/** What the root key of a test is judged against. */
export async function expected({ enclave }: TestKms) {
  const pcr16 = (await enclave.nsm.describePcr(16)).value;
  return { engineRole: ENGINE_ARN, releases: [{ release: 'test', pcrs: testPcrs('engine') }], pcr16 };
}

/** Makes a key whose policy locks its maker out. */
export async function makeRootKey(client: KMSClient, Policy: string, change: object = {}): Promise<string> {
  const asked = new CreateKeyCommand({ Policy, BypassPolicyLockoutSafetyCheck: true, ...change });
  return (await client.send(asked)).KeyMetadata?.Arn ?? '';
}

/** An emulator with a root key, and how an engine reaches it. */
export interface Scene {
  readonly kms: TestKms;
  readonly admin: KMSClient;
  readonly keyArn: string;
  readonly options: KmsCallerOptions;
}

/** How the engine of a test reaches a root key. */
export const callerOf = (kms: TestKms, keyArn: string): KmsCallerOptions => ({
  keyArn,
  nsm: kms.enclave.nsm,
  charterDigest: CHARTER,
  party: 1,
  credentials: credentialsOf('engine'),
  developerEndpoint: kms.emulator.url,
  sleep: async () => {},
});

/** Sets the scene. */
export async function scene(
  t: Teardown,
  change: Partial<KmsCallerOptions> = {},
  kmsOptions: TestKmsOptions = {},
  key = {},
): Promise<Scene> {
  const kms = await startTestKms(t, { charterDigest: CHARTER, ...kmsOptions });
  const admin = kms.client('admin');
  const keyArn = await makeRootKey(admin, await ourPolicy(kms), key);
  const options = { ...callerOf(kms, keyArn), ...change };
  return { kms, admin, keyArn, options };
}
