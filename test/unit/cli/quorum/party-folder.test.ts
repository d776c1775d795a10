/** The folder of one party, never started, cleared or asked as if it were a node of its own; and what commands say then. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runGenerateCrs } from '../../../../parent/cli/actions/crs.ts';
import { resumeHint } from '../../../../parent/cli/actions/epoch.ts';
import { runGenerate } from '../../../../parent/cli/actions/key.ts';
import { openTrust } from '../../../../parent/cli/attest/trust.ts';
import { addToJournal } from '../../../../parent/cli/client/journal.ts';
import { nameItems } from '../../../../parent/cli/client/keys.ts';
import { refuseParty } from '../../../../parent/cli/client/session.ts';
import { readTopology } from '../../../../parent/cli/client/topology.ts';
import { failure } from '../../../../parent/cli/framework/failure.ts';
import { quorumAround, writeQuorumFile } from '../../../../parent/cli/quorum/quorum-file.ts';
import { startDeveloperNode } from '../../../../parent/cli/supervise/run-node.ts';
import { openKmsClient } from '../../../../parent/grpc/client.ts';
import { QUIET } from '../../../helpers/quiet-output.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';

const DOMAIN = { domainName: '', domainVersion: '', domainChain: '1', domainContract: `0x${'0'.repeat(40)}` };

async function quorumOf(t: Teardown, parties: number): Promise<string> {
  const dir = tempDir(t);
  for (let party = 0; party <= parties + 1; party++) mkdirSync(join(dir, `party-${party}`));
  await writeQuorumFile(dir, { parties });
  return dir;
}

t.test('a folder is a party by its place in that of a quorum, and by its number', async (t) => {
  const dir = await quorumOf(t, 4);
  t.strictSame(await quorumAround(join(dir, 'party-1')), { dir, party: 1, parties: 4 });
  t.strictSame(await quorumAround(join(dir, 'party-4')), { dir, party: 4, parties: 4 });
  for (const name of ['party-0', 'party-5', 'party-01', 'party-1x', 'cache', '']) {
    t.equal(await quorumAround(join(dir, name)), undefined, name);
  }
  t.equal(await quorumAround(join(tempDir(t), 'party-1')), undefined, 'a folder that is only called so');
});

t.test('a single node is not started on it, and a reset leaves its shares alone', async (t) => {
  const dir = await quorumOf(t, 4);
  const party = join(dir, 'party-2');
  writeFileSync(join(party, 'format.json'), '{"format":"arca-state","version":1}\n');
  mkdirSync(join(party, 'private'));
  const ports = { clientPort: 0, publicPort: 0, opsPort: 0, anyPorts: true } as const;
  const options = { dir: party, params: 'test', ...ports, logLevel: 'info', treatV0ExtraDataAsEmpty: false } as const;
  for (const reset of [false, true]) {
    await t.rejects(startDeveloperNode({ ...options, reset }, QUIET), {
      code: 'STATE_INVALID',
      message: /is party 2 of a quorum/,
      facts: { cure: new RegExp(`arca dev --parties 4 --dir ${dir}`) },
    });
  }
  t.strictSame(readdirSync(party), ['format.json', 'private']);
});

t.test('what the parties do together names the folder of the quorum, at once', async (t) => {
  const dir = await quorumOf(t, 7);
  const selection = { dir: join(dir, 'party-7'), ...DOMAIN, extraData: '' };
  const refusal = (what: RegExp) => ({ code: 'REQUEST_INVALID', message: what, facts: { usage: true } });
  await t.rejects(refuseParty(selection, 'a decryption'), refusal(/party 7 of a quorum of 7, and a decryption/));
  await t.rejects(runGenerate(selection, QUIET), refusal(/and a key is asked of the parties together/));
  await t.rejects(runGenerateCrs(selection, QUIET), refusal(/and a CRS is asked of the parties together/));
  await t.resolves(refuseParty({ dir }, 'a decryption'), 'the quorum itself');
  await t.resolves(refuseParty({ ...selection, url: 'http://127.0.0.1:1' }, 'a decryption'), 'a node named by address');
});

t.test('a party knows by its quorum with which parameters a key was made', async (t) => {
  const dir = await quorumOf(t, 4);
  const [known, other] = ['ab'.repeat(32), 'cd'.repeat(32)];
  const createdAt = '2026-01-01T00:00:00Z';
  await addToJournal(dir, { kind: 'key', id: known, params: 'test', createdAt });
  const items = [
    { id: other, params: 'unknown' },
    { id: known, params: 'test', createdAt },
  ];
  for (const folder of [dir, join(dir, 'party-3')]) t.strictSame(await nameItems(folder, [known, other], 'key'), items);
  t.strictSame(await nameItems(join(dir, 'party-3'), [known], 'crs'), [{ id: known, params: 'unknown' }]);
});

t.test('a document is judged by the trust of one party', async (t) => {
  const dir = await quorumOf(t, 4);
  await t.rejects(openTrust({ dir }), {
    message: /holds a quorum of 4 parties/,
    facts: { cure: /party-1 to .*party-4/, usage: true },
  });
});

t.test('a centralized node says that it has no contexts and epochs', async (t) => {
  const unused = (): Promise<never> => Promise.reject(new Error('not asked'));
  const getQuorum = (): Promise<never> => Promise.reject(failure('UNIMPLEMENTED', 'a centralized node', 'none'));
  const client = openKmsClient('unix:/nowhere');
  t.teardown(() => client.close());
  const calls = { getAttestation: unused, getGovernance: unused, putGovernance: unused, listPeers: unused };
  const vault = { getVault: unused, restartQuorum: unused };
  const admin = { client, address: '', ...calls, ...vault, getQuorum, close: () => client.close() };
  await t.rejects(readTopology({ parties: [{ party: 0, admin, call: unused, poll: unused }], missing: [] }), {
    code: 'UNIMPLEMENTED',
    message: /part of no quorum/,
  });
});

t.test('an epoch that was begun is gone on with in its own context', async (t) => {
  t.match(resumeHint('0e', undefined), /arca epoch new --id 0e$/);
  t.match(resumeHint('0e', '07'), /arca epoch new --id 0e --context 07$/);
});
