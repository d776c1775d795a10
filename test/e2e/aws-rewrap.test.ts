/**
 * A node moves to another root key of AWS KMS: it serves at once, seals its vault anew on demand, and then needs the old key no more.
 */
import { join } from 'node:path';
import { CreateKeyCommand, DisableKeyCommand, GetKeyPolicyCommand, KMSClient } from '@aws-sdk/client-kms';
import t from 'tap';
import { loadConfig } from '../../common/config.ts';
import { NodeConfig } from '../../common/node-config.ts';
import { type AwsFile, EMULATED, readAwsFile, writeAwsFile } from '../../parent/cli/supervise/aws/aws-file.ts';
import { runArca } from '../helpers/cli-script.ts';
import { present } from '../helpers/present.ts';
import { startParty } from '../helpers/start-party.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const dir = tempDir(t);
const ciphertext = join(tempDir(t), 'value.ct');

async function arca(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runArca([...args, '--dir', dir]);
  if (code !== 0) throw new Error(`arca ${args[0]} failed: ${stderr}`);
  return stdout;
}

/** Calls the emulated KMS of the running node as its administrator. */
async function asAdmin<T>({ admin }: AwsFile, work: (client: KMSClient) => Promise<T>): Promise<T> {
  const { aws } = loadConfig(NodeConfig, { file: join(dir, 'node.toml'), env: {} });
  const endpoint = present(aws?.developer_kms_endpoint);
  const client = new KMSClient({ region: EMULATED.region, endpoint, credentials: { ...admin } });
  try {
    return await work(client);
  } finally {
    client.destroy();
  }
}

t.test('from one root key to the next, without the old one in the end', { timeout: 600_000 }, async (t) => {
  const first = await startParty(t, { dir, aws: true });
  await first.generateKey();
  await arca('encrypt', '--type', 'euint64', '42', '--out', ciphertext);

  const file = present(await readAwsFile(dir));
  const [party] = file.parties;
  const keys = present(party?.keys);
  const next = await asAdmin(file, async (client) => {
    const { Policy } = await client.send(new GetKeyPolicyCommand({ KeyId: keys.primary }));
    const made = await client.send(new CreateKeyCommand({ Policy, BypassPolicyLockoutSafetyCheck: true }));
    return present(made.KeyMetadata?.Arn);
  });
  await writeAwsFile(dir, { ...file, parties: [{ ...present(party), keys: { ...keys, primary: next } }] });
  await first.stop();

  const second = await startParty(t, { dir, aws: true });
  const shown = await arca('record', 'show');
  t.match(shown, new RegExp(`primary key\\s+${next}`));
  t.match(shown, new RegExp(`previous key\\s+${keys.primary}`));
  t.match(await arca('decrypt', ciphertext), /42/, 'what lies under the key before still opens');
  const done = JSON.parse(await arca('kms', 'rewrap', '--json'));
  t.equal(done.keyId, next);
  t.ok(done.rewrapped >= 2, JSON.stringify(done));
  t.match(JSON.parse(await arca('kms', 'rewrap', '--json')), { rewrapped: 0 });
  await asAdmin(file, (client) => client.send(new DisableKeyCommand({ KeyId: keys.primary })));
  await second.stop();

  await startParty(t, { dir, aws: true });
  t.match(await arca('decrypt', ciphertext), /42/, 'the old key is not needed');
});
