/**
 * A party of a quorum loses its private vault with all that is in its bucket; then its root key as well. It makes nothing anew:
 * it waits, is restored from its backup by `arca restore`, is confirmed by the other parties, and decrypts as before.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { CreateKeyCommand, DisableKeyCommand, GetKeyPolicyCommand, KMSClient } from '@aws-sdk/client-kms';
import t, { type Test } from 'tap';
import { EMULATED, readAwsFile, writeAwsFile } from '../../parent/cli/supervise/aws/aws-file.ts';
import { decryptAt, decryptForUser, encryptFromBucket, operate, VALUE } from '../helpers/aws-quorum.ts';
import { emptyBucket } from '../helpers/empty-bucket.ts';
import { present } from '../helpers/present.ts';
import { startQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const dir = tempDir(t);
/** Until the whole file has ended, not one test of it. */
const start = () => startQuorum(t, { parties: 4, aws: true, dir });
let quorum = await start();
const keyId = present((await quorum.generateKey())[0]?.requestId?.requestId);
const ciphertext = await encryptFromBucket(t, quorum, keyId);
const folder = join(dir, 'party-1');

/** Disables the root key of party 1's vault for good, and has the governed record name another from the next start on. */
async function replaceRootKey(): Promise<void> {
  const file = present(await readAwsFile(dir));
  const [first, ...others] = file.parties;
  const keys = present(first?.keys);
  const endpoint = present(quorum.running.aws).kmsUrl;
  const client = new KMSClient({ region: EMULATED.region, endpoint, credentials: { ...file.admin } });
  try {
    const { Policy } = await client.send(new GetKeyPolicyCommand({ KeyId: keys.primary }));
    await client.send(new DisableKeyCommand({ KeyId: keys.primary }));
    const made = await client.send(new CreateKeyCommand({ Policy, BypassPolicyLockoutSafetyCheck: true }));
    const primary = present(made.KeyMetadata?.Arn);
    await writeAwsFile(dir, { ...file, parties: [{ ...present(first), keys: { ...keys, primary } }, ...others] });
  } finally {
    client.destroy();
  }
}

/** Restores party 1 and starts it again. */
async function restore(t: Test): Promise<void> {
  const { plan } = await ask('restore', '--plan');
  t.match(plan, { lost: true, strays: [] });
  const { restored } = await ask('restore', '--yes');
  t.ok(restored >= 5, `${restored} objects`);
  t.match(await ask('restore'), { restored: 0 }, 'a second time adds nothing');
  await quorum.running.stopParty(1, false);
  await quorum.running.startParty(1);
}

const ask = (...args: readonly string[]) => operate(folder, ...args);

const vaultOf = async () => (await ask('vault', 'status')).vaults[0];

t.test('the backup follows, verifies, and a restore of it is rehearsed', async (t) => {
  t.same(await decryptAt(quorum.members, ciphertext), Array(4).fill(VALUE));
  t.match(await ask('backup', 'verify'), { faulty: [], strays: [] });
  t.match(await ask('backup', 'drill'), { passed: true });
  t.match(await ask('backup', 'status', '--max-behind-secs', '60'), { keychain: 'aws-kms', failures: 0 });
  const metrics = await (await fetch(`${quorum.member(1).node.opsUrl}/metrics`)).text();
  t.match(metrics, /^kms_backup_drill_passed 1$/m);
});

t.test('a party without its vault waits, while the others serve', async (t) => {
  const { pin } = await vaultOf();
  t.type(pin, 'string');
  await quorum.stop();
  t.ok(emptyBucket(dir, 'kms-private', 'PRIV-p1') > 4);
  quorum = await start();
  t.same(await decryptAt(quorum.members.slice(1), ciphertext), Array(3).fill(VALUE));
  const ready = await fetch(`${quorum.member(1).node.opsUrl}/ready`);
  t.equal(ready.status, 503);
  t.match(await ready.text(), /restore/);
});

t.test('it is restored, confirmed by the others, and decrypts as before', async (t) => {
  await restore(t);
  t.same(await decryptAt(quorum.members, ciphertext), Array(4).fill(VALUE));
  t.match(await vaultOf(), { sealed: true, restored: false, start: { refused: [] } });
});

t.test('with its root key disabled and all local state gone it comes back from the key of the backup', async (t) => {
  const before = quorum.members.map(({ address }) => address);
  await replaceRootKey();
  await quorum.stop();
  t.ok(emptyBucket(dir, 'kms-private', 'PRIV-p1') > 4);
  rmSync(folder, { recursive: true });
  quorum = await start();
  await restore(t);
  t.same(await decryptAt(quorum.members, ciphertext), Array(4).fill(VALUE));
  t.same(await decryptForUser(quorum, ciphertext), [VALUE], 'the published client accepts the answers');
  t.same(
    quorum.members.map(({ address }) => address),
    before,
    'the same parties',
  );
  t.match(await vaultOf(), { sealed: true, restored: false, start: { refused: [] } });
});
