/**
 * `arca import zama-vault` into nodes whose vaults lie sealed in emulated AWS: what comes in is sealed, signed and in the
 * manifest, and stands nowhere in clear. A new node takes the signing key over, too.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { formatAddress } from '../../wire/addresses.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import { decodePrivateSigKey } from '../../wire/signing-keys.ts';
import { runArca } from '../helpers/cli-script.ts';
import { testKeySet } from '../helpers/fhe-key-set.ts';
import { KEY, type OldNode, oldNode } from '../helpers/foreign-node.ts';
import { present } from '../helpers/present.ts';
import { filesBelow, findInFiles, openSealedState } from '../helpers/sealed-state.ts';
import { startParty } from '../helpers/start-party.ts';
import { startQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const COMPRESSED = ['PublicKey', 'CompressedXofKeySet'] as const;
/** What the command line signs without being asked for more. */
const NONE = new Uint8Array();
const set = await testKeySet(t);

async function run(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runArca([...args, '--json']);
  return { code, stderr, ...JSON.parse(stdout) };
}

const importInto = (dir: string, { privateFolder, publicFolder }: OldNode, ...more: readonly string[]) =>
  run('import', 'zama-vault', '--dir', dir, '--from', privateFolder, '--public-from', publicFolder, ...more);

async function decrypts(t: Test, dir: string): Promise<string> {
  const out = join(dir, 'value.ct');
  t.match(await run('encrypt', '--dir', dir, '--key', KEY, '--type', 'euint64', '4711', '--out', out), { code: 0 });
  return JSON.stringify(await run('decrypt', out, '--dir', dir));
}

const filesOf = (dir: string) => filesBelow(dir).filter((path) => !path.endsWith('.ct'));

t.test('a new node takes over a vault with its signing key, and seals all of it', async (t) => {
  const dir = tempDir(t);
  const old = await oldNode(t, set, COMPRESSED, { extraData: NONE });
  const party = await importInto(dir, old, '--new-aws-node', '--party', '1');
  t.match(party, { code: 2, error: { message: /single one/ } });
  t.match(await importInto(dir, old, '--new-aws-node'), {
    code: 0,
    address: formatAddress(old.address),
    identity: 'adopted',
    provenance: 'imported',
    objects: [{ type: 'FhePrivateKey', id: KEY }, { type: 'CrsInfo' }],
  });
  const node = await startParty(t, { dir, aws: true });
  t.match(await decrypts(t, dir), /4711/);
  const status = JSON.stringify(await run('status', '--dir', dir));
  t.match(status.toLowerCase(), formatAddress(old.address).toLowerCase(), 'it has its address still');
  t.match(await importInto(dir, old), { code: 1, error: { code: 'PRECONDITION_FAILED' } }, 'while it runs: refused');
  await node.stop();
  t.match(await importInto(dir, old), { code: 1, error: { code: 'ALREADY_EXISTS' } });
  t.match(await importInto(dir, old, '--new-aws-node'), { code: 1, error: { code: 'STATE_INVALID' } });

  const signingKey = readFileSync(join(old.privateFolder, 'SigningKey', SIGNING_KEY_ID));
  const secret = { name: 'SigningKey', content: decodePrivateSigKey(signingKey) };
  t.same(findInFiles(filesOf(dir), [secret]), []);
  const planted = join(tempDir(t), 'planted');
  writeFileSync(planted, signingKey);
  t.equal(findInFiles([planted], [secret]).length, 1, 'and it would have been found');
});

t.test('a new node whose import failed keeps the signing key, and takes the rest when it is asked again', async (t) => {
  const dir = tempDir(t);
  const old = await oldNode(t, set, COMPRESSED, { extraData: NONE });
  const path = join(old.publicFolder, 'PublicKey', KEY);
  const content = readFileSync(path);
  writeFileSync(path, content.subarray(1));
  t.match(await importInto(dir, old, '--new-aws-node'), { code: 1, error: { code: 'STATE_INVALID' } });
  writeFileSync(path, content);
  t.match(await importInto(dir, old, '--new-aws-node'), { code: 0, identity: 'same', objects: [{ id: KEY }, {}] });
});

t.test('parties of a quorum in emulated AWS take over their own shares', async (t) => {
  const dir = tempDir(t);
  const first = await startQuorum(t, { parties: 4, aws: true, dir });
  const addresses = first.members.map(({ address }) => address);
  await first.stop();
  for (const party of [1, 2, 3, 4]) {
    const old = await oldNode(t, set, COMPRESSED, { n: 4, party, extraData: NONE });
    if (party === 1) {
      t.match(await importInto(dir, old, '--party', '2'), { code: 1, error: { code: 'KEY_INVALID' } });
    }
    t.match(await importInto(dir, old, '--party', String(party)), {
      code: 0,
      identity: 'own',
      objects: [{ type: 'FheKeyInfo' }, { type: 'CrsInfo' }],
    });
  }
  const again = await startQuorum(t, { parties: 4, aws: true, dir });
  t.same(
    again.members.map(({ address }) => address),
    addresses,
  );
  t.match(await decrypts(t, dir), /4711/);
  const { s3Url } = present(again.running.aws);
  t.equal(
    (await fetch(`${s3Url}/kms/PUB-p3/CompressedXofKeySet/${KEY}`)).status,
    200,
    'public objects are in the bucket',
  );
  await again.stop();
  const files = filesOf(dir);
  for (const party of [1, 2, 3, 4]) {
    const secrets = await openSealedState(dir, party, join(dir, `party-${party}/governance/charter.cbor`));
    t.ok(
      secrets.some(({ name }) => name.includes('FheKeyInfo') && name.endsWith(KEY)),
      `party ${party} has shares`,
    );
    t.same(findInFiles(files, secrets), [], `party ${party}`);
  }
});
