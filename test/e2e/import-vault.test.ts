/** `arca import zama-vault` as an operator runs it: on a stopped node and a stopped quorum, which then use the keys. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readDeveloperAnchor } from '../../attestation/node/node-files.ts';
import { loadConfig } from '../../common/config.ts';
import { NodeConfig } from '../../common/node-config.ts';
import { ADMIN_MAY_ALL, credentialsOf, engineMay, makeKey, REGION, startTestKms, USE } from '../helpers/aws-kms.ts';
import { runArca } from '../helpers/cli-script.ts';
import { testKeySet } from '../helpers/fhe-key-set.ts';
import { KEY, oldNode } from '../helpers/foreign-node.ts';
import { appKeyBlob, symmetricKeys } from '../helpers/foreign-vault.ts';
import { startParty } from '../helpers/start-party.ts';
import { startQuorum } from '../helpers/start-quorum.ts';

const COMPRESSED = ['PublicKey', 'CompressedXofKeySet'] as const;
/** What the command line signs without being asked for more. */
const NONE = new Uint8Array();
const set = await testKeySet(t);

async function arca(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runArca([...args, '--json']);
  if (code !== 0) throw new Error(`arca ${args.join(' ')}: ${stderr}${stdout}`);
  return JSON.parse(stdout);
}

async function refused(...args: readonly string[]): Promise<unknown> {
  const { code, stdout } = await runArca([...args, '--json']);
  return { code, ...JSON.parse(stdout) };
}

async function decrypts(dir: string): Promise<string> {
  const out = join(dir, 'value.ct');
  await arca('encrypt', '--dir', dir, '--key', KEY, '--type', 'euint64', '4711', '--out', out);
  return JSON.stringify(await arca('decrypt', out, '--dir', dir));
}

t.test('a node takes over a vault that AWS KMS sealed, attested as its engine', async (t) => {
  const first = await startParty(t);
  const { dir } = first;
  await first.stop();
  const config = loadConfig(NodeConfig, { file: join(dir, 'node.toml'), env: {} });
  const kms = await startTestKms(t, { anchor: await readDeveloperAnchor(config) });
  const admin = kms.client('admin');
  const policy = JSON.stringify({ Version: '2012-10-17', Statement: [ADMIN_MAY_ALL, engineMay(USE)] });
  const keyArn = await makeKey(admin, policy);
  const old = await oldNode(t, set, COMPRESSED, {
    extraData: NONE,
    seal: (object) => appKeyBlob(keyArn, object, symmetricKeys(admin, keyArn)),
  });
  const awsFile = join(old.publicFolder, 'aws.toml');
  const { accessKeyId, secretAccessKey } = credentialsOf('engine');
  const lines = [
    '[aws]',
    `region = "${REGION}"`,
    `developer_access_key_id = "${accessKeyId}"`,
    `developer_secret_access_key = "${secretAccessKey}"`,
    `developer_kms_endpoint = "${kms.emulator.url}"`,
  ];
  writeFileSync(awsFile, lines.join('\n'));
  const from = ['--dir', dir, '--from', old.privateFolder, '--public-from', old.publicFolder];
  const command = ['import', 'zama-vault', ...from];
  t.match(await refused(...command), { code: 1, error: { code: 'REQUEST_INVALID' } }, 'without its root key');
  t.match(await refused(...command, '--root-key', keyArn), { code: 2, error: { message: /not complete/ } });
  const done = await arca(...command, '--root-key', keyArn, '--aws', awsFile);
  t.match(done, {
    identity: 'own',
    provenance: 'imported',
    objects: [{ type: 'FhePrivateKey', id: KEY }, { type: 'CrsInfo' }],
  });
  t.ok(
    kms.calls.some(({ operation }) => operation === 'Decrypt'),
    'AWS KMS opened it',
  );
  const again = await startParty(t, { dir });
  t.match(await decrypts(dir), /4711/);
  await again.stop();
});

t.test('parties of a quorum take over their own shares, and decrypt together', async (t) => {
  const first = await startQuorum(t, { parties: 4 });
  const { dir } = first;
  await first.stop();
  const olds = await Promise.all(
    [1, 2, 3, 4].map((party) => oldNode(t, set, COMPRESSED, { n: 4, party, extraData: NONE })),
  );
  for (const [index, old] of olds.entries()) {
    const command = [
      'import',
      'zama-vault',
      '--dir',
      dir,
      '--from',
      old.privateFolder,
      '--public-from',
      old.publicFolder,
    ];
    if (index === 0) t.match(await refused(...command), { code: 2, error: { cure: /--party 1 to 4/ } });
    if (index === 0) t.match(await refused(...command, '--party', '2'), { code: 1, error: { code: 'KEY_INVALID' } });
    t.match(await arca(...command, '--party', String(index + 1)), {
      objects: [{ type: 'FheKeyInfo' }, { type: 'CrsInfo' }],
    });
  }
  const again = await startQuorum(t, { parties: 4, dir });
  t.match(await decrypts(dir), /4711/);
  for (const { logged } of again.members) await logged(/quorum\.check-left-out/);
  await again.stop();
});
