/**
 * A node of the published layout moves into an enclave: its vaults lie in S3 under its own root key of AWS KMS, governance names
 * its address, and the engine in the enclave does the rest. nitro-cli is played; the parts around it are the real ones.
 */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { NodeKey } from '../../native/engine/index.ts';
import { runImportVault } from '../../parent/cli/actions/import-vault.ts';
import { DEFAULT_DOMAIN } from '../../parent/cli/client/domain.ts';
import { createOutput } from '../../parent/cli/framework/output.ts';
import { BUCKETS } from '../../parent/cli/supervise/aws/aws-file.ts';
import type { S3Storage } from '../../storage/s3/s3-storage.ts';
import type { ObjectPath } from '../../storage/storage.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { runArca } from '../helpers/cli-script.ts';
import { type EnclaveScene, enclaveScene } from '../helpers/enclave-scene.ts';
import { testKeySet } from '../helpers/fhe-key-set.ts';
import { KEY } from '../helpers/foreign-node.ts';
import { type MovingNode, movingNode, nameAddress } from '../helpers/moving-node.ts';

const set = await testKeySet(t);

interface Moving extends MovingNode {
  readonly scene: EnclaveScene;
  /** `arca import zama-vault --config …`; what it prints as JSON. */
  readonly move: (more?: object) => Promise<ReturnType<typeof JSON.parse>>;
}

/** A node for `arca run` that was never started, and an old one in S3. */
async function moving(t: Test): Promise<Moving> {
  const scene = await enclaveScene(t);
  const node = await movingNode(t, scene, set);
  const options = {
    ...node.options,
    config: scene.file,
    dir: './.arca',
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
    const done = runImportVault({ ...options, ...more }, output, scene.backendOf);
    await done.catch((error: unknown) => output.failure(error));
    return JSON.parse(printed.join(''));
  };
  return { scene, ...node, move };
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
  await nameAddress(scene, formatAddress(stranger.address));
  const other = { code: 'STATE_INVALID', message: new RegExp(`vault is that of ${address}.* nobody else moves in`) };
  t.match(await move(), { error: other }, 'the parent chooses no identity');
  const priv = await storage(BUCKETS.private, 'PRIV');
  t.same(await priv.list(['SigningKey']), [], 'and nothing was written');

  await nameAddress(scene, address);
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
