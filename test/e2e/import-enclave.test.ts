/**
 * A node of the published layout moves into an enclave: its vaults lie in S3 under its own root key of AWS KMS, governance names
 * its address, and the engine in the enclave does the rest. nitro-cli is played; the parts around it are the real ones.
 */
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KMSClient } from '@aws-sdk/client-kms';
import t, { type Test } from 'tap';
import { toHex } from '../../common/bytes.ts';
import { NodeKey } from '../../native/engine/index.ts';
import { runImportVault } from '../../parent/cli/actions/import-vault.ts';
import { DEFAULT_DOMAIN } from '../../parent/cli/client/domain.ts';
import { createOutput } from '../../parent/cli/framework/output.ts';
import {
  type AccessKey,
  type AwsFile,
  BUCKETS,
  EMULATED,
  readAwsFile,
  roleArn,
} from '../../parent/cli/supervise/aws/aws-file.ts';
import { openS3Storage, type S3Storage } from '../../storage/s3/s3-storage.ts';
import type { ObjectPath } from '../../storage/storage.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { makeKey, policyOf, USE } from '../helpers/aws-kms.ts';
import { runArca } from '../helpers/cli-script.ts';
import { type EnclaveScene, enclaveScene } from '../helpers/enclave-scene.ts';
import { testKeySet } from '../helpers/fhe-key-set.ts';
import { KEY, type OldNode, oldNode } from '../helpers/foreign-node.ts';
import { appKeyBlob, symmetricKeys } from '../helpers/foreign-vault.ts';
import { present } from '../helpers/present.ts';
import { filesBelow } from '../helpers/sealed-state.ts';

const COMPRESSED = ['PublicKey', 'CompressedXofKeySet'] as const;
const SECRET = { bucket: BUCKETS.backup, prefix: 'OLD-PRIV' } as const;
const PUBLISHED = { bucket: BUCKETS.public, prefix: 'OLD-PUB' } as const;
/** What the command line signs without being asked for more. */
const NONE = new Uint8Array();
const set = await testKeySet(t);

interface Moving {
  readonly scene: EnclaveScene;
  readonly old: OldNode;
  readonly storage: (bucket: string, prefix: string) => Promise<S3Storage>;
  /** `arca import zama-vault --config …`; what it prints as JSON. */
  readonly move: (more?: object) => Promise<ReturnType<typeof JSON.parse>>;
}

/** A node for `arca run` that was never started, and an old one in S3. */
async function moving(t: Test): Promise<Moving> {
  const scene = await enclaveScene(t);
  const aws: AwsFile = present(await readAwsFile(scene.dir));
  const keyArn = await oldRootKey(t, scene, aws.admin);
  const admin = kmsClient(t, scene, aws.admin);
  const seal = (object: Uint8Array) => appKeyBlob(keyArn, object, symmetricKeys(admin, keyArn));
  const old = await oldNode(t, set, COMPRESSED, { seal, extraData: NONE });
  const { access } = present(aws.parties[0]);
  const storage: Moving['storage'] = async (bucket, prefix) => {
    const developer = { endpoint: scene.emulated.s3Url };
    const opened = await openS3Storage({
      bucket,
      prefix,
      region: EMULATED.region,
      credentials: async () => access,
      developer,
    });
    t.teardown(() => opened.close());
    return opened;
  };
  await upload(old.privateFolder, await storage(SECRET.bucket, SECRET.prefix));
  await upload(old.publicFolder, await storage(PUBLISHED.bucket, PUBLISHED.prefix));
  const options = {
    config: scene.file,
    dir: './.arca',
    from: `s3://${SECRET.bucket}/${SECRET.prefix}`,
    publicFrom: `s3://${PUBLISHED.bucket}/${PUBLISHED.prefix}`,
    rootKey: keyArn,
    rootKeySpec: 'symm',
    domainName: DEFAULT_DOMAIN.name,
    domainVersion: DEFAULT_DOMAIN.version,
    domainChain: DEFAULT_DOMAIN.chainId,
    domainContract: DEFAULT_DOMAIN.verifyingContract,
  } as const;
  const move: Moving['move'] = async (more = {}) => {
    const printed: string[] = [];
    const stdout = { write: (words: string) => printed.push(words) > 0 };
    const output = createOutput({ json: true, stdout, stderr: { write: () => true } });
    await runImportVault({ ...options, ...more }, output, scene.backendOf).catch((error: unknown) =>
      output.failure(error),
    );
    return JSON.parse(printed.join(''));
  };
  return { scene, old, storage, move };
}

function kmsClient(t: Test, { emulated }: EnclaveScene, credentials: AccessKey): KMSClient {
  const client = new KMSClient({ region: EMULATED.region, endpoint: emulated.kmsUrl, credentials: { ...credentials } });
  t.teardown(() => client.destroy());
  return client;
}

/** The old node's root key, whose owner has admitted the image of the enclave. */
async function oldRootKey(t: Test, scene: EnclaveScene, admin: AccessKey): Promise<string> {
  const may = (who: 1 | 'admin', Action: readonly string[], Condition?: object) => ({
    ...{ Effect: 'Allow', Principal: { AWS: roleArn(who) }, Action, Resource: '*' },
    ...(Condition && { Condition }),
  });
  const measured = Object.fromEntries(
    [0, 1, 2].map((index) => [`kms:RecipientAttestation:PCR${index}`, toHex(present(scene.pcrs.get(index)))]),
  );
  const policy = policyOf(may('admin', ['kms:*']), may(1, USE, { StringEqualsIgnoreCase: measured }));
  return await makeKey(kmsClient(t, scene, admin), policy);
}

async function upload(folder: string, storage: S3Storage): Promise<void> {
  for (const path of filesBelow(folder)) {
    await storage.put(path.slice(folder.length + 1).split('/'), new Uint8Array(readFileSync(path)));
  }
}

/** What governance does, by its own commands: it names the address that is to move in. */
async function nameAddress(t: Test, { dir }: EnclaveScene, address: string): Promise<void> {
  const file = (name: string): string => join(dir, 'governance', name);
  const next = join(dir, 'record-next.cbor');
  const charter = ['--charter', file('charter.cbor')];
  for (const args of [
    ['propose', '--previous', file('record.cbor'), '--party', `1=${address}`, '--out', next, '--force', ...charter],
    ['sign', next, '--key', file('governance-key.pem'), ...charter],
  ]) {
    const { code, stderr } = await runArca(['record', ...args]);
    t.equal(code, 0, stderr);
  }
  copyFileSync(next, file('record.cbor'));
}

async function empty(storage: S3Storage, folder: ObjectPath = []): Promise<void> {
  for (const name of await storage.list(folder)) {
    const path = [...folder, name];
    if (!(await storage.delete(path))) await empty(storage, path);
  }
}

t.test('an old node moves into an enclave with its address and keys, and no other does', async (t) => {
  const { scene, old, storage, move } = await moving(t);
  const address = formatAddress(old.address);
  const unnamed = { code: 'PRECONDITION_FAILED', message: /names no address for party 1: governance says first/ };
  t.match(await move(), { error: unnamed }, 'before governance has named anybody');

  using stranger = NodeKey.generate();
  await nameAddress(t, scene, formatAddress(stranger.address));
  const other = { code: 'STATE_INVALID', message: new RegExp(`vault is that of ${address}.* nobody else moves in`) };
  t.match(await move(), { error: other }, 'the parent chooses no identity');
  const priv = await storage(BUCKETS.private, 'PRIV');
  t.same(await priv.list(['SigningKey']), [], 'and nothing was written');

  await nameAddress(t, scene, address);
  const unsigned = { code: 'STATE_INVALID', message: /not signed by the address that moves in/ };
  t.match(
    await move({ domainName: 'Other', identityOnly: true }),
    { identity: 'adopted', objects: [] },
    'the key alone',
  );
  t.match(await move({ domainName: 'Other' }), { error: unsigned }, 'nothing that it did not sign');
  t.match(await move(), {
    address,
    identity: 'same',
    provenance: 'imported',
    objects: [{ type: 'FhePrivateKey', id: KEY }, { type: 'CrsInfo' }],
  });
  t.match(await move(), { error: { code: 'ALREADY_EXISTS' } }, 'once');

  const node = await scene.start();
  t.equal(node.node.address, address, 'it serves under its address');
  const value = join(scene.dir, 'value.ct');
  const run = async (...args: readonly string[]) => await runArca([...args, '--dir', scene.dir, '--json']);
  t.match(await run('encrypt', '--key', KEY, '--type', 'euint64', '4711', '--out', value), { code: 0 });
  t.match(await run('decrypt', value), { code: 0, stdout: /4711/ });
  t.match(await move(), { error: { code: 'PRECONDITION_FAILED' } }, 'nothing moves in while it runs');
  const isCopied = async () => JSON.parse((await run('backup', 'status')).stdout).behind === 0;
  while (!(await isCopied())) await new Promise((resolve) => setTimeout(resolve, 100));
  await node.stop();

  await empty(priv);
  const again = { code: 'STATE_INVALID', message: /its backup in .* knows a vault of the key that would move in/ };
  t.match(await move(), { error: again }, 'whoever empties the vault starts nothing anew from the old one');
});
