/**
 * A party of a quorum loses its private vault, and nothing of AWS opens its backup: two of three custodians bring it back. Every
 * step is a command that an operator gives; the custodians verify what they are asked before they help.
 */
import { join } from 'node:path';
import t from 'tap';
import { decryptAt, encryptFromBucket, operate, VALUE } from '../helpers/aws-quorum.ts';
import { runArca } from '../helpers/cli-script.ts';
import { askCustodian, CONTEXT, makeCustodianContext } from '../helpers/custodians-of-party.ts';
import { emptyBucket } from '../helpers/empty-bucket.ts';
import { present } from '../helpers/present.ts';
import { startQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const dir = tempDir(t);
/** Until the whole file has ended, not one test of it. */
const start = () => startQuorum(t, { parties: 4, aws: true, backup: 'custodians', dir });
let quorum = await start();
const keyId = present((await quorum.generateKey())[0]?.requestId?.requestId);
const ciphertext = await encryptFromBucket(t, quorum, keyId);
const custody = { folder: join(dir, 'party-1'), papers: tempDir(t), address: quorum.member(1).address };

/** What a command of party 1's operator printed as JSON. */
const ask = (...args: readonly string[]) => operate(custody.folder, ...args);

t.test('without custodians nothing is backed up, and it is said; with them everything is', async (t) => {
  t.same(await decryptAt(quorum.members, ciphertext), Array(4).fill(VALUE));
  const { stdout, stderr } = await runArca(['backup', 'status', '--json', '--dir', custody.folder]);
  t.match(`${stdout}${stderr}`, /custodian context/, 'what is missing is named');
  await makeCustodianContext(custody);
  t.match(await ask('custodian-context', 'list'), { contexts: [{ contextId: CONTEXT, active: true }] });
  t.match(await ask('backup', 'status'), { keychain: 'custodians', behind: 0 });
  const { s3Url } = present(quorum.running.aws);
  t.equal((await fetch(`${s3Url}/kms/PUB-p1/RecoveryMaterial/${CONTEXT}`)).status, 200, 'material is published');
});

t.test('a party without its vault is brought back by two of three custodians', async (t) => {
  await quorum.stop();
  t.ok(emptyBucket(dir, 'kms-private', 'PRIV-p1') > 4);
  quorum = await start();
  await t.rejects(ask('restore', '--yes'), /custodian/, 'nothing in AWS opens it');
  t.match(await ask('recovery', 'init'), { custodians: [1, 2, 3] });
  const answers: string[] = [];
  for (const role of [2, 3]) answers.push('--answer', await askCustodian(custody, role));
  await t.rejects(ask('recovery', 'finish', ...answers.slice(0, 2)), /INVALID/, 'one is too few');
  t.match(await ask('recovery', 'finish', ...answers), { contextId: CONTEXT, recovered: true });
  await quorum.running.stopParty(1, false);
  await quorum.running.startParty(1);
  const same = 'with the same node key and share';
  t.same(await decryptAt(quorum.members, ciphertext), Array(4).fill(VALUE), same);
  t.match(await ask('custodian-context', 'list'), { contexts: [{ contextId: CONTEXT, spent: true }] });
});

t.test('the recovery ends with a new context, and nothing of the old one is left', async (t) => {
  const next = 'c2'.repeat(32);
  await makeCustodianContext(custody, next);
  await ask('custodian-context', 'destroy', CONTEXT, '--yes');
  t.match(await ask('custodian-context', 'list'), { contexts: [{ contextId: next, active: true, spent: false }] });
  const { s3Url } = present(quorum.running.aws);
  const material = (id: string) => fetch(`${s3Url}/kms/PUB-p1/RecoveryMaterial/${id}`);
  t.equal((await material(next)).status, 200);
  t.not((await material(CONTEXT)).status, 200, 'its public recovery material is gone');
  t.match(await ask('backup', 'status'), { keychain: 'custodians', behind: 0, folder: next });
});
