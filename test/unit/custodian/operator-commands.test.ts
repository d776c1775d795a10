/**
 * `arca custodian-context` and `arca recovery` as operators run them, with custodians who verify what they are asked:
 * real commands, a real Core, the engine's own custodian office behind it.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { makeDeveloperRoot } from '../../../attestation/developer/chain.ts';
import { charterDigest, encodeCharter, rawPublicKey } from '../../../attestation/governance/index.ts';
import { decodeAttestedRequest } from '../../../attestation/recovery/attested-request.ts';
import { createLogger } from '../../../common/log.ts';
import { systemRandom } from '../../../common/random.ts';
import { answerRequest } from '../../../custodian/answer.ts';
import { setupWords } from '../../../custodian/sheet.ts';
import { verifyRecoveryRequest } from '../../../custodian/verify-request.ts';
import { custodianCalls } from '../../../enclave/custodians/custodian-calls.ts';
import { CustodianRecovery } from '../../../enclave/custodians/recovery.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import { decodeRecoveryRequest, encodeRecoveryOutput } from '../../../wire/custodian/recovery-request.ts';
import { encodeSetupMessage } from '../../../wire/custodian/setup-message.ts';
import { DEFAULT_CONTEXT_ID, parseRequestId } from '../../../wire/ids.ts';
import { runArca } from '../../helpers/cli-script.ts';
import { present } from '../../helpers/present.ts';
import { startTestAttester } from '../../helpers/software-nsm.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { charterOf, DEV_KEY, engineEntry, RELEASE } from '../attestation/governance/fixtures.ts';
import { serveCalls } from '../backup/served-backup.ts';
import { openScene } from '../custodians/scene.ts';
import { makeScene } from './scene.ts';

const ID = '0d'.repeat(32);
const nowSeconds = Math.floor(Date.now() / 1000);
const people = makeScene(Date.now());
const setups = people.setups.map((setup) => ({ ...setup, timestamp: { seconds: nowSeconds, nanos: 0 } }));
const base64 = (bytes: Uint8Array): string => `${Buffer.from(bytes).toString('base64')}\n`;
const fromFile = (path: string): Uint8Array => Uint8Array.from(Buffer.from(readFileSync(path, 'latin1'), 'base64'));

/** A node with a backup vault, attested under a charter, and a folder for `--dir`. */
async function startNode(t: Test) {
  const root = makeDeveloperRoot({ nowMs: Date.now() - 1000 });
  const anchor = Uint8Array.from(createHash('sha256').update(root.certificate).digest());
  const governance = { keys: [rawPublicKey(DEV_KEY)], threshold: 1 };
  const charter = charterOf({ network: people.charter.network, governance, anchor });
  const attester = await startTestAttester({ role: 'engine', root, charterDigest: charterDigest(charter) });
  const { office, backup, key } = await openScene();
  const recovery = new CustodianRecovery({
    source: async () => office.recoverySource(),
    backup,
    attester: attester.nsm,
    network: charter.network,
    charterDigest: charterDigest(charter),
    onOpened: async (contextId) => office.spend(contextId),
    log: createLogger({ name: 'test', level: 'silent' }),
  });
  const calls = custodianCalls({ office, recovery, attester: attester.nsm });
  const node = { address: formatAddress(key.address), network: charter.network, hasBackupVault: true };
  const { dir } = await serveCalls(t, calls, node);
  const engines = [
    engineEntry('arca-2', { platform: 'developer', pcrs: attester.pcrs, notBeforeMs: 0, notAfterMs: 4e12 }),
  ];
  const judge = {
    trust: {
      charter,
      charterBytes: encodeCharter(charter),
      address: key.address,
      releaseKeys: RELEASE.map(rawPublicKey),
      minimumReleaseSet: 2,
      mpcContextId: DEFAULT_CONTEXT_ID,
      custodianContextId: parseRequestId(ID),
    },
    releases: people.releaseSet(2, engines),
    anchor: attester.anchor,
  };
  return { dir, judge };
}

/** Runs a command on the node and gives its JSON. */
async function arca(t: Test, args: readonly string[]): Promise<ReturnType<typeof JSON.parse>> {
  const { code, stdout, stderr } = await runArca([...args, '--json']);
  t.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

t.test('a context is made, custodians verify what they are asked, and their answers bring the key back', async (t) => {
  const { dir, judge } = await startNode(t);
  const on = ['--dir', dir];
  const file = (name: string): string => join(dir, name);
  for (const setup of setups) writeFileSync(file(`${setup.role}.setup`), base64(encodeSetupMessage(setup)));
  const files = setups.flatMap(({ role }) => ['--setup', file(`${role}.setup`)]);
  const made = await arca(t, ['custodian-context', 'new', ...files, '--threshold', '1', '--id', ID, ...on]);
  t.match(made, { contextId: ID, threshold: 1 });
  t.same(made.custodians[0].setupWords, setupWords(present(setups[0])), 'the words that custodians read out');
  const listed = await arca(t, ['custodian-context', 'list', ...on]);
  t.match(listed, { contexts: [{ contextId: ID, active: true, spent: false }], recovering: null });

  const early = await runArca(['recovery', 'finish', '--answer', file('1.setup'), ...on]);
  t.equal(early.code, 1, 'a setup message is no answer');
  const begun = await arca(t, ['recovery', 'init', '--out', file('published'), ...on]);
  t.same(begun.custodians, [1, 2, 3]);
  t.equal(decodeRecoveryRequest(fromFile(file('published'))).ciphertexts.size, 3);
  t.match((await runArca(['recovery', 'init', ...on])).stderr, /has been begun/);

  const answers: string[] = [];
  for (const role of [1, 3]) {
    const keys = present(people.custodians[role - 1]);
    const { challenge } = await arca(t, ['custodian', 'challenge']);
    await arca(t, ['recovery', 'request', '--challenge', challenge, '--out', file(`${role}.request`), ...on]);
    const attested = decodeAttestedRequest(fromFile(file(`${role}.request`)));
    const asked = { ...judge, challenge: Uint8Array.from(Buffer.from(challenge, 'hex')), nowMs: Date.now() };
    const { request, release } = await verifyRecoveryRequest(attested, asked);
    t.equal(release, 'arca-2');
    const { mpcContextId, custodianContextId } = judge.trust;
    const answer = answerRequest(keys, role, request, { mpcContextId, custodianContextId }, systemRandom);
    writeFileSync(file(`${role}.answer`), base64(encodeRecoveryOutput(answer)));
    answers.push('--answer', file(`${role}.answer`));
  }
  t.match((await runArca(['recovery', 'finish', ...answers.slice(0, 2), ...on])).stderr, /./, 'one answer is too few');
  t.match(await arca(t, ['recovery', 'finish', ...answers, ...on]), {
    contextId: ID,
    answers: [1, 3],
    recovered: true,
  });
  const after = await arca(t, ['custodian-context', 'list', ...on]);
  t.match(after, { contexts: [{ contextId: ID, spent: true }], recovering: null });
});

t.test('what cannot be done is said before the node is asked', async (t) => {
  const dir = tempDir(t);
  const on = ['--dir', dir];
  writeFileSync(join(dir, 'one.setup'), base64(encodeSetupMessage(present(setups[0]))));
  const one = ['custodian-context', 'new', '--setup', join(dir, 'one.setup'), '--threshold', '1', ...on];
  t.match((await runArca(one)).stderr, /less than half/);
  t.equal((await runArca(['custodian-context', 'destroy', ID, ...on])).code, 2, 'without --yes');
  t.equal((await runArca(['recovery', 'finish', ...on])).code, 2, 'without answers');
  t.equal((await runArca(['recovery', 'request', '--challenge', 'abc', '--out', join(dir, 'x'), ...on])).code, 2);
});
