/**
 * A quorum of the published layout that moves: each party's signing key first, then its shares once the quorum has made its
 * epoch. The addresses are those of before, and clients that know no others accept what is signed.
 */
import t, { type Test } from 'tap';
import { toHex } from '../../common/bytes.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { decryptAt, decryptForUser, encryptFromBucket, VALUE } from '../helpers/aws-quorum.ts';
import { runArca } from '../helpers/cli-script.ts';
import { testKeySet } from '../helpers/fhe-key-set.ts';
import { CRS, KEY, type OldNode, oldNode } from '../helpers/foreign-node.ts';
import { present } from '../helpers/present.ts';
import { startQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const COMPRESSED = ['PublicKey', 'CompressedXofKeySet'] as const;
const PARTIES = [1, 2, 3, 4] as const;
/** What the command line signs without being asked for more. */
const NONE = new Uint8Array();
const set = await testKeySet(t);

/** A quorum that was stopped for good. */
async function oldQuorum(t: Test): Promise<readonly OldNode[]> {
  const nodes: OldNode[] = [];
  for (const party of PARTIES) nodes.push(await oldNode(t, set, COMPRESSED, { n: 4, party, extraData: NONE }));
  return nodes;
}

async function moveInto(
  dir: string,
  { privateFolder, publicFolder }: OldNode,
  ...more: readonly string[]
): Promise<Record<string, unknown>> {
  const paths = ['--dir', dir, '--from', privateFolder, '--public-from', publicFolder];
  const { code, stdout } = await runArca(['import', 'zama-vault', ...paths, ...more, '--json']);
  return { code, ...JSON.parse(stdout) };
}

t.test('four parties move with their addresses: signing keys before the first start, shares after it', async (t) => {
  const dir = tempDir(t);
  const old = await oldQuorum(t);
  const addresses = old.map(({ address }) => formatAddress(address));
  const newQuorum = ['--new-aws-quorum', '4', '--party'] as const;
  for (const [index, node] of old.entries()) {
    t.match(await moveInto(dir, node, ...newQuorum, String(index + 1)), {
      code: 0,
      address: addresses[index],
      identity: 'adopted',
      objects: [],
    });
  }
  t.match(await moveInto(dir, present(old[0]), ...newQuorum, '1'), { code: 0, identity: 'same' }, 'asked again');
  const taken = { code: 1, error: { code: 'ALREADY_EXISTS', message: /a signing key of its own/ } };
  t.match(await moveInto(dir, present(old[1]), ...newQuorum, '1'), taken, 'nothing takes the place of a key');

  const first = await startQuorum(t, { parties: 4, aws: true, dir });
  t.same(
    first.members.map(({ address }) => formatAddress(address)),
    addresses,
    'context and epoch are made with the addresses that moved in',
  );
  await first.stop();
  const started = { code: 1, error: { code: 'STATE_INVALID', message: /was started/ } };
  t.match(await moveInto(dir, present(old[0]), ...newQuorum, '1'), started);
  for (const [index, node] of old.entries()) {
    t.match(await moveInto(dir, node, '--party', String(index + 1)), {
      code: 0,
      identity: 'same',
      objects: [
        { type: 'FheKeyInfo', id: KEY },
        { type: 'CrsInfo', id: CRS },
      ],
    });
  }

  const quorum = await startQuorum(t, { parties: 4, aws: true, dir });
  const ciphertext = await encryptFromBucket(t, quorum, KEY);
  const members = quorum.members.map(({ client }, index) => ({ client, address: present(old[index]).address }));
  t.same(await decryptAt(members, ciphertext), [VALUE, VALUE, VALUE, VALUE], 'signed by the addresses of before');
  t.same(await decryptForUser({ members: quorum.members }, ciphertext), [VALUE], 'the published client accepts it');
  for (const [index, { client }] of quorum.members.entries()) {
    const { externalSignature } = await client.call('GetKeyGenResult', { requestId: KEY });
    t.equal(toHex(externalSignature), toHex(present(old[index]).facts.signature), 'the key is signed as it was');
  }
});

t.test('a quorum is made for numbers that fit, and for one party at a time', async (t) => {
  const dir = tempDir(t);
  const [node] = await oldQuorum(t);
  for (const [more, message] of [
    [['--new-aws-quorum', '5', '--party', '1'], /3t \+ 1/],
    [['--new-aws-quorum', '4', '--party', '5'], /no party 5/],
    [['--new-aws-quorum', '4'], /which party/],
    [['--new-aws-quorum', '4', '--party', '1', '--new-aws-node'], /which party/],
  ] as const) {
    t.match(await moveInto(dir, present(node), ...more), { code: 2, error: { message } }, more.join(' '));
  }
});
