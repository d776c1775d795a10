/**
 * From twelve words on paper back to a node that decrypts, with the commands that people use and real processes: custodians make
 * their words, the node's whole private bucket is gone, two of three answer what they have verified, and the same key decrypts.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runArca } from '../helpers/cli-script.ts';
import { present } from '../helpers/present.ts';
import { runCustodian } from '../helpers/run-custodian.ts';
import { startParty } from '../helpers/start-party.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const ID = '0c'.repeat(32);

/** Runs a command that must succeed and gives its JSON. */
async function arca(t: Test, args: readonly string[]): Promise<ReturnType<typeof JSON.parse>> {
  const { code, stdout, stderr } = await runArca([...args, '--json']);
  t.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

/** The same for the custodians' tool. */
async function custodian(t: Test, args: readonly string[], words: string) {
  const { code, stdout, stderr, shown } = await runCustodian([...args, '--words-fd', '3', '--json'], words);
  t.equal(code, 0, stderr);
  return { shown, found: JSON.parse(stdout) };
}

t.test('a node whose vault is gone comes back from two of three custodians with their words', async (t) => {
  const dir = tempDir(t);
  const desk = tempDir(t);
  const file = (name: string): string => join(desk, name);
  const on = ['--dir', dir];
  const start = () => startParty(t, { dir, aws: true, backup: 'custodians' });
  const first = await start();

  const words: string[] = [];
  for (const role of ['1', '2', '3']) {
    const out = ['--words-out-fd', '4', '--out', file(`${role}.setup`)];
    words.push((await custodian(t, ['generate', '--role', role, '--name', `Custodian ${role}`, ...out], 'echo')).shown);
  }
  const setups = ['1', '2', '3'].flatMap((role) => ['--setup', file(`${role}.setup`)]);
  await arca(t, ['custodian-context', 'new', ...setups, '--threshold', '1', '--id', ID, ...on]);
  await arca(t, ['key', 'generate', ...on]);
  await arca(t, ['encrypt', '--type', 'euint64', '42', '--out', file('a.ct'), ...on]);

  const governance = join(dir, 'governance');
  const sources = ['--charter', join(governance, 'charter.cbor'), '--record', join(governance, 'record.cbor')];
  const trust = ['--custodian-context', ID, '--minimum-release-set', '1', '--address', first.node.address];
  const { trustWords } = await arca(t, ['custodian', 'trust', ...sources, ...trust, '--out', file('trust')]);
  const material = await fetch(`${first.node.publicUrl}/RecoveryMaterial/${ID}`);
  writeFileSync(file('material'), Buffer.from(await material.arrayBuffer()));
  const verify = ['verify', '--setup', file('1.setup'), '--material', file('material'), '--trust', file('trust')];
  t.equal((await custodian(t, verify, present(words[0]))).found.share, true, 'its share can be read beforehand');
  await first.stop();

  const bucket = join(dir, 'aws/buckets/kms-private');
  for (const name of readdirSync(bucket)) if (name !== 'bucket.json') rmSync(join(bucket, name));
  const lost = await start();
  await arca(t, ['recovery', 'init', ...on]);
  const answers: string[] = [];
  for (const role of [3, 1]) {
    const { challenge } = await arca(t, ['custodian', 'challenge']);
    await arca(t, ['recovery', 'request', '--challenge', challenge, '--out', file(`${role}.request`), ...on]);
    const by = ['--trust', file('trust'), '--trust-words', trustWords, '--challenge', challenge];
    const under = ['--releases', join(governance, 'releases.cbor'), '--root', join(governance, 'developer-root.pem')];
    const decrypt = ['decrypt', '--role', `${role}`, '--request', file(`${role}.request`), ...by, ...under];
    const answered = await custodian(t, [...decrypt, '--out', file(`${role}.answer`)], present(words[role - 1]));
    t.equal(answered.found.verified, true);
    answers.push('--answer', file(`${role}.answer`));
  }
  await arca(t, ['recovery', 'finish', ...answers, ...on]);
  await lost.stop();

  const back = await start();
  t.equal(back.node.address, first.node.address, 'the same node');
  t.match(await arca(t, ['decrypt', file('a.ct'), ...on]), { verified: true, plaintexts: [{ value: '42' }] });
  t.match(await arca(t, ['custodian-context', 'list', ...on]), { contexts: [{ contextId: ID, spent: true }] });
  const logged = readFileSync(join(dir, 'node.log'), 'utf8');
  for (const phrase of words) t.notOk(logged.includes(phrase.split(' ').slice(0, 3).join(' ')), 'no words in the log');
});
