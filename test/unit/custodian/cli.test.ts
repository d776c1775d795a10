/**
 * `arca custodian` as custodians use it, without a terminal: words come and go through descriptors alone.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { encodeCharter } from '../../../attestation/governance/index.ts';
import { encodeAttestedRequest } from '../../../attestation/recovery/attested-request.ts';
import { decodeTrust, encodeTrust, trustWords } from '../../../custodian/trust.ts';
import { encodePhrase } from '../../../custodian/words.ts';
import { recoverBackupKey } from '../../../wire/custodian/operator.ts';
import { decodeRecoveryOutput } from '../../../wire/custodian/recovery-request.ts';
import { decodeSetupMessage, encodeSetupMessage } from '../../../wire/custodian/setup-message.ts';
import { present } from '../../helpers/present.ts';
import { runCustodian as custodian } from '../../helpers/run-custodian.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { CHARTER, recordBytes, recordFields } from '../attestation/governance/fixtures.ts';
import { CHALLENGE, makeScene } from './scene.ts';

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const scene = makeScene(Date.now());
const phraseOf = (index: number): string => Buffer.from(encodePhrase(present(scene.entropies[index]))).toString();

/** A folder with everything that a custodian needs to answer. */
function desk(t: Test): { readonly folder: string; file(name: string): string; readonly decrypt: string[] } {
  const folder = tempDir(t);
  const file = (name: string): string => join(folder, name);
  writeFileSync(file('request'), encodeAttestedRequest(scene.attested()));
  writeFileSync(file('trust'), encodeTrust(scene.trust));
  writeFileSync(file('releases'), scene.releases);
  writeFileSync(file('root.der'), scene.forge.anchor.certificate);
  const challenge = Buffer.from(CHALLENGE).toString('hex');
  const decrypt = ['decrypt', '--request', file('request'), '--trust', file('trust'), '--releases', file('releases')];
  decrypt.push('--challenge', challenge, '--root', file('root.der'), '--words-fd', '3', '--json');
  return { folder, file, decrypt };
}

t.test('words are made, typed back, and only then is the setup message written', async (t) => {
  const out = join(tempDir(t), 'ada.setup');
  const args = ['generate', '--role', '2', '--name', 'Ada', '--words-fd', '3', '--words-out-fd', '4', '--out', out];
  const made = await custodian([...args, '--json'], 'echo');
  t.equal(made.code, 0, made.stderr);
  const setup = decodeSetupMessage(Uint8Array.from(Buffer.from(readFileSync(out, 'latin1'), 'base64')));
  t.same([setup.role, setup.name], [2, 'Ada']);
  t.equal(JSON.parse(made.stdout).message, base64(encodeSetupMessage(setup)));
  t.equal(made.shown.split(' ').length, 12);
  const words = made.shown.split(' ');
  const published = made.stdout + made.stderr + readFileSync(out, 'latin1');
  // One word may be in any text, three in a row are not.
  const leaked = words.slice(2).filter((_, at) => published.includes(words.slice(at, at + 3).join(' ')));
  t.same(leaked, [], 'words are nowhere else');
  const verified = await custodian(['verify', '--setup', out, '--words-fd', '3', '--json'], made.shown);
  t.equal(verified.code, 0, verified.stderr);

  const other = join(tempDir(t), 'other.setup');
  const wrong = await custodian([...args.slice(0, -1), other], phraseOf(0));
  t.equal(wrong.code, 1);
  t.match(wrong.stderr, /the words of another custodian/);
  t.notOk(existsSync(other), 'nothing was written');
});

t.test('without a terminal and without descriptors no word is shown or asked for', async (t) => {
  const out = join(tempDir(t), 'x.setup');
  const generated = await custodian(['generate', '--role', '1', '--name', 'Ada', '--out', out]);
  t.equal(generated.code, 2);
  t.match(generated.stderr, /shown on a terminal only/);
  t.equal(generated.stdout, '');
  const { file } = desk(t);
  writeFileSync(file('setup'), base64(encodeSetupMessage(present(scene.setups[0]))));
  const verified = await custodian(['verify', '--setup', file('setup')]);
  t.equal(verified.code, 2);
  t.match(verified.stderr, /asked for on a terminal/);
  t.notOk(existsSync(out));
});

t.test('a typing error is named, and words of somebody else are told from it', async (t) => {
  const { file } = desk(t);
  writeFileSync(file('setup'), base64(encodeSetupMessage(present(scene.setups[0]))));
  const verify = ['verify', '--setup', file('setup'), '--words-fd', '3'];
  const [first = '', ...rest] = phraseOf(0).split(' ');
  const typo = await custodian(verify, [`${first}q`, ...rest].join(' '));
  t.equal(typo.code, 1);
  t.match(typo.stderr, new RegExp(`word 1, '${first}q', is not in the list of words; near it: .*${first}`));
  const others = await custodian(verify, phraseOf(1));
  t.match(others.stderr, /not those of custodian 1/);
});

t.test('the share in recovery material is read back long before it is needed', async (t) => {
  const { file } = desk(t);
  writeFileSync(file('setup'), base64(encodeSetupMessage(present(scene.setups[0]))));
  writeFileSync(file('material'), scene.signedMaterial);
  const args = ['--setup', file('setup'), '--material', file('material'), '--trust', file('trust'), '--words-fd', '3'];
  const verified = await custodian(['verify', ...args, '--json'], phraseOf(0));
  t.equal(verified.code, 0, verified.stderr);
  t.equal(JSON.parse(verified.stdout).share, true);
});

t.test('two custodians of three answer a verified request, and the node gets its key back', async (t) => {
  const { file, decrypt } = desk(t);
  const outputs = [];
  for (const role of [1, 3]) {
    const out = file(`answer-${role}`);
    const args = [...decrypt, '--role', `${role}`, '--trust-words', trustWords(scene.trust), '--out', out];
    const answered = await custodian(args, phraseOf(role - 1));
    t.equal(answered.code, 0, answered.stderr);
    t.match(JSON.parse(answered.stdout), { role, verified: true });
    t.match(answered.stderr, /release {5}arca-1\.0/);
    outputs.push(decodeRecoveryOutput(Uint8Array.from(Buffer.from(readFileSync(out, 'latin1'), 'base64'))));
  }
  const { secret } = recoverBackupKey(scene.material, scene.node.publicKey, scene.ephemeral, outputs);
  t.same(secret, scene.secret);
});

t.test('a request that does not verify is refused before any word is asked for', async (t) => {
  const { file, decrypt } = desk(t);
  const args = [...decrypt, '--role', '1', '--out', file('answer')];
  const typed = ['--trust-words', trustWords(scene.trust)];
  const wrongPaper = await custodian([...args, '--trust-words', 'legal winner thank year wave sausage worth useful']);
  t.match(wrongPaper.stderr, /not the one of your paper/);
  const late = args.map((arg) => (arg === Buffer.from(CHALLENGE).toString('hex') ? '00'.repeat(16) : arg));
  t.match((await custodian([...late, ...typed])).stderr, /challenge of somebody else/);
  writeFileSync(file('request'), base64(scene.attested().request));
  t.match((await custodian([...args, ...typed])).stderr, /no attestation: anybody may have made it/);
  t.notOk(existsSync(file('answer')));
});

t.test('--unverified answers the published request and says what it gives up', async (t) => {
  const { file } = desk(t);
  writeFileSync(file('published'), base64(scene.attested().request));
  const args = ['decrypt', '--role', '2', '--request', file('published'), '--out', file('answer'), '--words-fd', '3'];
  const refused = await custodian(args, phraseOf(1));
  t.equal(refused.code, 2);
  t.match(refused.stderr, /verified before it is answered/);
  const answered = await custodian([...args, '--unverified'], phraseOf(1));
  t.equal(answered.code, 0, answered.stderr);
  t.match(answered.stderr, /nothing shows who asks/);
  t.match(answered.stdout, /^The custodian recovery output is: [A-Za-z0-9+/=]+$/m);
});

t.test('a trust file has what charter and record say, and its words change with every part of it', async (t) => {
  const { file } = desk(t);
  writeFileSync(file('charter'), encodeCharter(CHARTER));
  writeFileSync(file('record'), recordBytes());
  const args = ['trust', '--charter', file('charter'), '--record', file('record'), '--json'];
  const make = async (name: string, context: string, minimum: string) => {
    const out = ['--out', file(name), '--custodian-context', context, '--minimum-release-set', minimum];
    const made = await custodian([...args, ...out]);
    t.equal(made.code, 0, made.stderr);
    return { trust: decodeTrust(readFileSync(file(name), 'utf8')), words: JSON.parse(made.stdout).trustWords };
  };
  const { trust, words } = await make('one', '0b'.repeat(32), '3');
  t.same(trust.charter, CHARTER);
  t.same(trust.address, present(recordFields().parties[0]).address);
  t.equal(trust.mpcContextId, Buffer.from(recordFields().context).toString('hex'));
  t.equal(words, trustWords(trust));
  t.not((await make('two', '0b'.repeat(32), '4')).words, words);
  t.not((await make('three', '0c'.repeat(32), '3')).words, words);
  const again = await custodian([
    ...args,
    '--out',
    file('one'),
    '--custodian-context',
    '0b'.repeat(32),
    '--minimum-release-set',
    '3',
  ]);
  t.match(again.stderr, /is there already/);
});

t.test('a challenge is sixteen fresh bytes', async (t) => {
  const challenges = await Promise.all([custodian(['challenge']), custodian(['challenge'])]);
  t.ok(challenges.every(({ stdout }) => /^[0-9a-f]{32}\n$/.test(stdout)));
  t.not(challenges[0]?.stdout, challenges[1]?.stdout);
});
