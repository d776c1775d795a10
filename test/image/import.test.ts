/**
 * `arca import zama-vault --config` as an operator types it, with [enclave] backend = "qemu": a test image that boots, takes
 * another node over out of S3, under that node's own root key, and ends.
 */
import t from 'tap';
import { BUCKETS } from '../../parent/cli/supervise/aws/aws-file.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import { runArca } from '../helpers/cli-script.ts';
import { testKeySet } from '../helpers/fhe-key-set.ts';
import { KEY } from '../helpers/foreign-node.ts';
import { movingNode, nameAddress } from '../helpers/moving-node.ts';
import { qemuNode } from '../helpers/qemu-node.ts';

t.setTimeout(1_800_000);

t.test('an image takes another node over, and says so with its last words', async (t) => {
  const node = await qemuNode(t);
  const { old, options, storage } = await movingNode(t, node, await testKeySet(t));
  const { from, publicFrom, rootKey } = options;
  const run = async () => {
    const args = ['--config', node.file, '--from', from, '--public-from', publicFrom, '--root-key', rootKey, '--json'];
    const { code, stdout } = await runArca(['import', 'zama-vault', ...args]);
    return { code, ...JSON.parse(stdout) };
  };
  t.match(await run(), { code: 1, error: { code: 'PRECONDITION_FAILED', message: /governance says first/ } });

  await nameAddress(node, formatAddress(old.address));
  t.match(await run(), {
    code: 0,
    address: formatAddress(old.address),
    identity: 'adopted',
    objects: [{ type: 'FhePrivateKey', id: KEY }, { type: 'CrsInfo' }],
  });
  const [priv, published] = [await storage(BUCKETS.private, 'PRIV'), await storage(BUCKETS.public, 'PUB')];
  t.same(await priv.list(['SigningKey']), [SIGNING_KEY_ID]);
  t.ok(await published.has(['CompressedXofKeySet', KEY]));
});
