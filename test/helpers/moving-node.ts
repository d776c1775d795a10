/**
 * A node of the published layout that is to move into an enclave: its vaults in emulated S3, sealed under a root key of its own
 * whose owner has admitted the enclave's image; and what governance does, by its own commands.
 */
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KMSClient } from '@aws-sdk/client-kms';
import { toHex } from '../../common/bytes.ts';
import { type AccessKey, BUCKETS, EMULATED, readAwsFile, roleArn } from '../../parent/cli/supervise/aws/aws-file.ts';
import { openS3Storage, type S3Storage } from '../../storage/s3/s3-storage.ts';
import { makeKey, policyOf } from './aws-kms.ts';
import { runArca } from './cli-script.ts';
import type { EnclaveNode } from './enclave-node.ts';
import type { TestKeySet } from './fhe-key-set.ts';
import { type OldNode, oldNode } from './foreign-node.ts';
import { appKeyBlob, symmetricKeys } from './foreign-vault.ts';
import { present } from './present.ts';
import { filesBelow } from './sealed-state.ts';
import type { Teardown } from './temp-dir.ts';

/** Where it moves to. */
export interface MovingTo extends Pick<EnclaveNode, 'dir' | 'emulated'> {
  /** Registers of the image. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}

/** See the file comment. */
export interface MovingNode {
  readonly old: OldNode;
  /** Options of `arca import zama-vault`. */
  readonly options: { readonly from: string; readonly publicFrom: string; readonly rootKey: string };
  /** Opens a vault as the node's own engine may. */
  storage(bucket: string, prefix: string): Promise<S3Storage>;
}

const SECRET = { bucket: BUCKETS.backup, prefix: 'OLD-PRIV' } as const;
const PUBLISHED = { bucket: BUCKETS.public, prefix: 'OLD-PUB' } as const;
const nameOf = ({ bucket, prefix }: { readonly bucket: string; readonly prefix: string }) => `s3://${bucket}/${prefix}`;

/** Makes the node; it has the whole key. */
export async function movingNode(t: Teardown, to: MovingTo, set: TestKeySet): Promise<MovingNode> {
  const aws = present(await readAwsFile(to.dir));
  const admin = kmsClient(t, to, aws.admin);
  const rootKey = await oldRootKey(admin, to);
  const seal = (object: Uint8Array) => appKeyBlob(rootKey, object, symmetricKeys(admin, rootKey));
  // The command line signs without extra data unless it is asked for more.
  const old = await oldNode(t, set, ['PublicKey', 'CompressedXofKeySet'], { seal, extraData: new Uint8Array() });
  const { access } = present(aws.parties[0]);
  const storage: MovingNode['storage'] = async (bucket, prefix) => {
    const developer = { endpoint: to.emulated.s3Url };
    const { region } = EMULATED;
    const opened = await openS3Storage({ bucket, prefix, region, credentials: async () => access, developer });
    t.teardown(() => opened.close());
    return opened;
  };
  await upload(old.privateFolder, await storage(SECRET.bucket, SECRET.prefix));
  await upload(old.publicFolder, await storage(PUBLISHED.bucket, PUBLISHED.prefix));
  return { old, options: { from: nameOf(SECRET), publicFrom: nameOf(PUBLISHED), rootKey }, storage };
}

function kmsClient(t: Teardown, { emulated }: MovingTo, credentials: AccessKey): KMSClient {
  const client = new KMSClient({ region: EMULATED.region, endpoint: emulated.kmsUrl, credentials: { ...credentials } });
  t.teardown(() => client.destroy());
  return client;
}

async function oldRootKey(admin: KMSClient, { pcrs }: MovingTo): Promise<string> {
  const may = (who: 1 | 'admin', Action: readonly string[], Condition?: object) => ({
    ...{ Effect: 'Allow', Principal: { AWS: roleArn(who) }, Action, Resource: '*' },
    ...(Condition && { Condition }),
  });
  const measured = Object.fromEntries(
    [0, 1, 2].map((index) => [`kms:RecipientAttestation:PCR${index}`, toHex(present(pcrs.get(index)))]),
  );
  const policy = policyOf(may('admin', ['kms:*']), may(1, ['kms:Decrypt'], { StringEqualsIgnoreCase: measured }));
  return await makeKey(admin, policy);
}

async function upload(folder: string, storage: S3Storage): Promise<void> {
  for (const path of filesBelow(folder)) {
    await storage.put(path.slice(folder.length + 1).split('/'), new Uint8Array(readFileSync(path)));
  }
}

/** Governance names the address that is to move in. */
export async function nameAddress({ dir }: Pick<EnclaveNode, 'dir'>, address: string): Promise<void> {
  const file = (name: string): string => join(dir, 'governance', name);
  const next = join(dir, 'record-next.cbor');
  const charter = ['--charter', file('charter.cbor')];
  for (const args of [
    ['propose', '--previous', file('record.cbor'), '--party', `1=${address}`, '--out', next, '--force', ...charter],
    ['sign', next, '--key', file('governance-key.pem'), ...charter],
  ]) {
    const { code, stderr } = await runArca(['record', ...args]);
    if (code !== 0) throw new Error(stderr);
  }
  copyFileSync(next, file('record.cbor'));
}
