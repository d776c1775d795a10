/**
 * All of AWS is gone: both emulators are stopped, and what party 1 had there never comes back, its public objects included. Its backup
 * lies in files, sealed under the key that custodians share. Two of them bring it back, from paper, into an AWS that has never heard
 * of it: another storage, another root key. The other parties have had an outage and no more.
 */
import { createPrivateKey } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify, type TomlTable } from 'smol-toml';
import t from 'tap';
import { fromHex } from '../../common/bytes.ts';
import { createOutput } from '../../parent/cli/framework/output.ts';
import { readObject } from '../../parent/cli/governance/object-files.ts';
import { nameRootKeys } from '../../parent/cli/quorum/quorum-trust.ts';
import { readAwsFile } from '../../parent/cli/supervise/aws/aws-file.ts';
import { type PartyAws, startEmulatedAws } from '../../parent/cli/supervise/aws/emulated-aws.ts';
import { decryptAt, decryptForUser, encryptFromBucket, operate, VALUE } from '../helpers/aws-quorum.ts';
import { askCustodian, CONTEXT, makeCustodianContext } from '../helpers/custodians-of-party.ts';
import { emptyBucket } from '../helpers/empty-bucket.ts';
import { present } from '../helpers/present.ts';
import { startQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const dir = tempDir(t);
const folder = join(dir, 'party-1');
const trustFolder = join(dir, 'governance');
const backups = tempDir(t);
const elsewhereDir = tempDir(t);
const quorum = await startQuorum(t, { parties: 4, aws: true, backup: 'custodians', dir });
const keyId = present((await quorum.generateKey())[0]?.requestId?.requestId);
const ciphertext = await encryptFromBucket(t, quorum, keyId);
const custody = { folder, papers: tempDir(t), address: quorum.member(1).address };
/** Where party 1 has something in AWS. */
const HELD = [
  ['kms', 'PUB'],
  ['kms-private', 'PRIV'],
  ['kms-backup', 'BACKUP'],
] as const;
const others = quorum.members.slice(1);

const ask = (...args: readonly string[]) => operate(folder, ...args);

/** The public key set in the bucket of a party. */
async function keySetOf(party: number): Promise<Buffer> {
  const { s3Url } = present(quorum.running.aws);
  return Buffer.from(await (await fetch(`${s3Url}/kms/PUB-p${party}/CompressedXofKeySet/${keyId}`)).arrayBuffer());
}

/** Starts emulators for a state folder; they run until the file has ended. */
async function startAws(of: string, parties: readonly number[]) {
  const output = createOutput({ json: false, stdout: { write: () => true }, stderr: { write: () => true } });
  const aws = await startEmulatedAws({ dir: of, parties, trustFolder, backup: 'custodians' }, output);
  t.teardown(() => aws.stop());
  return aws;
}

/** Writes party 1's configuration anew, with some sections otherwise. */
function configure(change: (config: TomlTable) => TomlTable): void {
  const path = join(folder, 'node.toml');
  writeFileSync(path, stringify(change(parse(readFileSync(path, 'utf8')))));
}

const backupInFiles = { storage: { file: { path: backups, prefix: 'BACKUP-p1' } }, keychain: { custodians: {} } };

/** What `[aws]` says of how to call emulators. */
const callers = ({ access, s3Url, kmsUrl }: PartyAws) => ({
  developer_access_key_id: access.accessKeyId,
  developer_secret_access_key: access.secretAccessKey,
  developer_s3_endpoint: s3Url,
  developer_kms_endpoint: kmsUrl,
});

t.test('the backup lies outside of AWS, and custodians have the key', async (t) => {
  t.same(await decryptAt(quorum.members, ciphertext), Array(4).fill(VALUE));
  await quorum.running.stopParty(1);
  configure((config) => ({ ...config, backup_vault: backupInFiles }));
  await quorum.running.startParty(1);
  await makeCustodianContext(custody);
  t.match(await ask('backup', 'status'), { keychain: 'custodians', behind: 0 });
  t.ok(existsSync(join(backups, 'BACKUP-p1', CONTEXT)));
  const [own, another] = [await keySetOf(1), await keySetOf(2)];
  t.ok(own.length > 1000 && own.equals(another), 'what is public of a key, any other party has too');
});

t.test('with all of AWS gone the other parties go on', async (t) => {
  const { s3Url, kmsUrl, stop } = present(quorum.running.aws);
  await quorum.running.stopParty(1, true);
  await stop();
  for (const url of [s3Url, kmsUrl]) await t.rejects(fetch(url), TypeError, 'nothing listens there');
  for (const [bucket, prefix] of HELD) emptyBucket(dir, bucket, `${prefix}-p1`);
  t.same(await decryptAt(others, ciphertext), Array(3).fill(VALUE));
});

t.test('two custodians bring the party back into another AWS, while the one before is gone', async (t) => {
  const { pcrs } = present(present(await readAwsFile(dir)).parties[0]?.keys);
  const elsewhere = await startAws(elsewhereDir, [1]);
  const charter = await readObject(join(folder, 'governance/charter.cbor'), 'charter');
  const keys = await elsewhere.ensureKeys(charter, new Map(pcrs.map((pcr, index) => [index, fromHex(pcr)])));
  const record = await readObject(join(folder, 'governance/record.cbor'), 'record');
  const governanceKey = createPrivateKey(readFileSync(join(trustFolder, 'governance-key.pem')));
  await nameRootKeys(dir, { record, governanceKey }, keys);
  configure((config) => ({ ...config, aws: { ...Object(config.aws), ...callers(elsewhere.party(1)) } }));
  rmSync(join(folder, 'core.sqlite'), { force: true });
  await quorum.running.startParty(1);
  t.match(await ask('recovery', 'init'), { custodians: [1, 2, 3] });
  const answers: string[] = [];
  for (const role of [1, 3]) answers.push('--answer', await askCustodian(custody, role));
  t.match(await ask('recovery', 'finish', ...answers), { contextId: CONTEXT, recovered: true });
  await quorum.running.stopParty(1);
});

t.test('once the others can write again they confirm it, and it decrypts as before', async (t) => {
  await startAws(dir, [1, 2, 3, 4]);
  await quorum.running.startParty(1);
  t.same(await decryptAt(quorum.members, ciphertext), Array(4).fill(VALUE), 'with the same node key and share');
  t.same(await decryptForUser(quorum, ciphertext), [VALUE], 'the published client accepts the answers');
  const { vaults } = await ask('vault', 'status');
  t.match(vaults, [{ sealed: true, restored: false, start: { phase: 'confirmed', refused: [] } }]);
});
