/**
 * A party of a quorum loses its private vault, and nothing of AWS opens its backup: two of three custodians bring it back. Every
 * step is a command that an operator gives; the custodians verify what they are asked before they help.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeCharter, encodeSigned } from '../../attestation/governance/index.ts';
import { readDeveloperAnchor } from '../../attestation/node/node-files.ts';
import { decodeAttestedRequest } from '../../attestation/recovery/attested-request.ts';
import { loadConfig } from '../../common/config.ts';
import { NodeConfig } from '../../common/node-config.ts';
import { systemRandom } from '../../common/random.ts';
import { answerRequest } from '../../custodian/answer.ts';
import { verifyRecoveryRequest } from '../../custodian/verify-request.ts';
import { loadEvaluationKeys } from '../../native/engine/public.ts';
import { readObject } from '../../parent/cli/governance/object-files.ts';
import { encodeRecoveryOutput } from '../../wire/custodian/recovery-request.ts';
import { encodeSetupMessage } from '../../wire/custodian/setup-message.ts';
import { DEFAULT_CONTEXT_ID, parseRequestId } from '../../wire/ids.ts';
import { verifyPublicDecryption } from '../../wire/verify-response.ts';
import { runArca } from '../helpers/cli-script.ts';
import { publicDecryption } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { handleOf } from '../helpers/requests.ts';
import { TEST_DOMAIN } from '../helpers/start-party.ts';
import { pollFor, startQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { custodianKeys } from '../unit/custodians/scene.ts';

const VALUE = 0x0123_4567_89ab_cdefn;
const EUINT64 = 5;
const CONTEXT = 'c1'.repeat(32);
const dir = tempDir(t);
const papers = tempDir(t);
const folder = join(dir, 'party-1');
const people = custodianKeys();
/** Until the whole file has ended, not one test of it. */
const start = () => startQuorum(t, { parties: 4, aws: true, backup: 'custodians', dir });
let quorum = await start();
const keyId = present((await quorum.generateKey())[0]?.requestId?.requestId);
const ciphertext = await encrypt();
const { address } = quorum.member(1);

async function encrypt(): Promise<Uint8Array> {
  const keySet = await fetch(`${present(quorum.running.aws).s3Url}/kms/PUB-p1/CompressedXofKeySet/${keyId}`);
  const path = join(tempDir(t), 'keys');
  writeFileSync(path, new Uint8Array(await keySet.arrayBuffer()));
  using keys = await loadEvaluationKeys({ compressedXofKeySetPath: path });
  return await keys.encrypt(VALUE, EUINT64, 2);
}

/** Opens the ciphertext publicly at all parties, and returns what party 1 signed. */
async function decrypt(): Promise<bigint> {
  const request = publicDecryption(keyId, [{ ciphertext, fheType: EUINT64, format: 2 }]);
  const [first] = await Promise.all(
    quorum.members.map(({ client }) => pollFor(() => client.call('PublicDecryptSync', request))),
  );
  const asked = { domain: TEST_DOMAIN.parsed, handles: [handleOf(1, EUINT64)], extraData: new Uint8Array() };
  const [plaintext] = verifyPublicDecryption(present(first), { ...asked, signer: address });
  return Buffer.from(present(plaintext).bytes).readBigUInt64LE();
}

const paper = (name: string): string => join(papers, name);

/** What a command of party 1's operator printed as JSON. */
async function operate(...args: readonly string[]): Promise<ReturnType<typeof JSON.parse>> {
  const { code, stdout, stderr } = await runArca([...args, '--json', '--dir', folder]);
  if (code !== 0) throw new Error(`arca ${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout);
}

/** A custodian's answer to a file, once it has verified it with what it keeps beside its words. */
async function answer(role: number, challenge: string): Promise<string> {
  const custody = join(folder, 'governance');
  const charter = await readObject(join(custody, 'charter.cbor'), 'charter');
  const record = await readObject(join(custody, 'record.cbor'), 'record');
  const releases = encodeSigned(await readObject(join(custody, 'releases.cbor'), 'release-set'));
  const contexts = { mpcContextId: DEFAULT_CONTEXT_ID, custodianContextId: parseRequestId(CONTEXT) };
  const whose = { charter, charterBytes: encodeCharter(charter), address, minimumReleaseSet: 1 };
  const text = readFileSync(paper(`${role}.request`), 'latin1');
  const { request, developer } = await verifyRecoveryRequest(decodeAttestedRequest(Buffer.from(text, 'base64')), {
    trust: { ...whose, releaseKeys: record.body.releaseKeys, ...contexts },
    challenge: Buffer.from(challenge, 'hex'),
    releases,
    anchor: await readDeveloperAnchor(loadConfig(NodeConfig, { file: join(folder, 'node.toml'), env: {} })),
    nowMs: Date.now(),
  });
  if (!developer) throw new Error('this is no developer network');
  const output = answerRequest(present(people[role - 1]), role, request, contexts, systemRandom);
  writeFileSync(paper(`${role}.answer`), Buffer.from(encodeRecoveryOutput(output)).toString('base64'));
  return paper(`${role}.answer`);
}

/** Deletes everything of a party in the bucket of private vaults, as somebody does who owns the storage. */
function emptyBucketOf(prefix: string): number {
  const bucket = join(dir, 'aws', 'buckets', 'kms-private');
  const records = readdirSync(bucket).filter((name) => name.endsWith('.json'));
  const own = records.filter((name) => readFileSync(join(bucket, name), 'utf8').includes(`"key":"${prefix}/`));
  for (const name of own) {
    for (const file of [name, name.replace('.json', '.bin')]) rmSync(join(bucket, file), { force: true });
  }
  return own.length;
}

t.test('without custodians nothing is backed up, and it is said; with them everything is', async (t) => {
  t.equal(await decrypt(), VALUE);
  const { stdout, stderr } = await runArca(['backup', 'status', '--json', '--dir', folder]);
  t.match(`${stdout}${stderr}`, /custodian context/, 'what is missing is named');
  const seconds = Math.floor(Date.now() / 1000);
  const files = people.flatMap(({ ek, signer }, index) => {
    const setup = { role: index + 1, name: `custodian ${index + 1}`, randomValue: systemRandom(32), ek };
    const message = { ...setup, timestamp: { seconds, nanos: 0 }, verificationKey: signer.publicKey };
    writeFileSync(paper(`${index + 1}.setup`), Buffer.from(encodeSetupMessage(message)).toString('base64'));
    return ['--setup', paper(`${index + 1}.setup`)];
  });
  await operate('custodian-context', 'new', ...files, '--threshold', '1', '--id', CONTEXT);
  t.match(await operate('custodian-context', 'list'), { contexts: [{ contextId: CONTEXT, active: true }] });
  t.match(await operate('backup', 'status'), { keychain: 'custodians', behind: 0 });
  const { s3Url } = present(quorum.running.aws);
  t.equal((await fetch(`${s3Url}/kms/PUB-p1/RecoveryMaterial/${CONTEXT}`)).status, 200, 'material is published');
});

t.test('a party without its vault is brought back by two of three custodians', async (t) => {
  await quorum.stop();
  t.ok(emptyBucketOf('PRIV-p1') > 4);
  quorum = await start();
  await t.rejects(operate('restore', '--yes'), /custodian/, 'nothing in AWS opens it');
  t.match(await operate('recovery', 'init'), { custodians: [1, 2, 3] });
  const answers: string[] = [];
  for (const role of [2, 3]) {
    const { challenge } = await challengeOf();
    await operate('recovery', 'request', '--challenge', challenge, '--out', paper(`${role}.request`));
    answers.push('--answer', await answer(role, challenge));
  }
  await t.rejects(operate('recovery', 'finish', ...answers.slice(0, 2)), /INVALID/, 'one is too few');
  t.match(await operate('recovery', 'finish', ...answers), { contextId: CONTEXT, recovered: true });
  await quorum.running.stopParty(1, false);
  await quorum.running.startParty(1);
  t.equal(await decrypt(), VALUE, 'with the same node key and share');
  t.match(await operate('custodian-context', 'list'), { contexts: [{ contextId: CONTEXT, spent: true }] });
});

/** What a custodian draws, on a machine without a node. */
async function challengeOf(): Promise<{ readonly challenge: string }> {
  const { stdout } = await runArca(['custodian', 'challenge', '--json']);
  return JSON.parse(stdout);
}
