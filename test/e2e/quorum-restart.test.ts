/**
 * More parties than a quorum can forget come out of their backups: nothing serves, over any number of starts, before governance has
 * restarted the quorum with `arca quorum restart`; then it waits for a reshare and does nothing else. Four real parties, each
 * operated with the commands of docs/operators/quorum-restart.md.
 */
import { join } from 'node:path';
import { DeleteObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import t from 'tap';
import { BUCKETS, EMULATED, readAwsFile } from '../../parent/cli/supervise/aws/aws-file.ts';
import { STATUS } from '../../parent/grpc/status.ts';
import { decryptAt, encryptFromBucket, operate, printed, VALUE } from '../helpers/aws-quorum.ts';
import { runArca } from '../helpers/cli-script.ts';
import { statusOf } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { startQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const ALL = [1, 2, 3, 4] as const;
const RESTORED = [1, 2] as const;

const dir = tempDir(t);
const papers = tempDir(t);
const folder = (party: number): string => join(dir, `party-${party}`);
const paper = (name: string): string => join(papers, name);
const charter = ['--charter', join(folder(1), 'governance/charter.cbor')];
const quorum = await startQuorum(t, { parties: 4, aws: true, dir });
const keyId = present((await quorum.generateKey())[0]?.requestId?.requestId);
const ciphertext = await encryptFromBucket(t, quorum, keyId);

/** Deletes the whole private vault of a party, as somebody does who owns the bucket. */
async function emptyVault(party: number): Promise<number> {
  const access = present((await readAwsFile(dir))?.parties[party - 1]).access;
  const endpoint = present(quorum.running.aws).s3Url;
  const client = new S3Client({ region: EMULATED.region, endpoint, forcePathStyle: true, credentials: { ...access } });
  const bucket = { Bucket: BUCKETS.private };
  try {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ ...bucket, Prefix: `PRIV-p${party}/` }));
    for (const { Key } of Contents) await client.send(new DeleteObjectCommand({ ...bucket, Key }));
    return Contents.length;
  } finally {
    client.destroy();
  }
}

/** How the start of a party stands. */
async function startOf(party: number) {
  const { vaults } = await operate(folder(party), 'vault', 'status');
  return vaults[0].start;
}

/** Waits until the starts of some parties stand so: they tell each other every second. */
async function untilPhase(phase: string, parties: readonly number[] = ALL): Promise<void> {
  for (const party of parties) while ((await startOf(party)).phase !== phase);
}

/** Resolves once the operators of all of them can be served. */
async function startParties(parties: readonly number[]): Promise<void> {
  await Promise.all(parties.map((party) => quorum.running.startParty(party)));
}

/** Why a party is not ready. */
async function readiness(party: number): Promise<string> {
  const ready = await fetch(`${quorum.member(party).node.opsUrl}/ready`);
  return `${ready.status} ${await ready.text()}`;
}

/** What `arca status` tells of the whole quorum: why each party does not serve. */
async function told(): Promise<readonly string[]> {
  const { code, stdout } = await runArca(['status', '--dir', dir, '--json']);
  const { healthy, parties } = JSON.parse(stdout);
  t.match({ code, healthy }, { code: 1, healthy: false });
  return parties.map(({ notReady }: { notReady: readonly string[] }) => notReady.join('\n'));
}

/** What the parties answer who are asked to decrypt. */
async function refusals(): Promise<readonly number[]> {
  const request = ciphertext.newRequest();
  return await Promise.all(quorum.members.map(({ client }) => statusOf(client.call('PublicDecryptSync', request))));
}

t.test('parties 1 and 2 lose their vaults and are restored, while nobody confirms them', async (t) => {
  t.same(await decryptAt(quorum.members, ciphertext), Array(4).fill(VALUE));
  for (const party of RESTORED) {
    await quorum.running.stopParty(party);
    t.ok((await emptyVault(party)) > 4);
  }
  await startParties(RESTORED);
  for (const party of RESTORED) t.ok((await operate(folder(party), 'restore', '--yes')).restored >= 5);
  for (const party of ALL) await quorum.running.stopParty(party);
  // These two first: each learns that the other is restored, before anybody who remembers could confirm it.
  await startParties(RESTORED);
  await untilPhase('quorum-restart', RESTORED);
});

t.test('nothing serves, though all parties run again', async (t) => {
  await startParties([3, 4]);
  await untilPhase('quorum-restart');
  t.same((await startOf(4)).restored, RESTORED, 'the others say who');
  t.same(await refusals(), Array(4).fill(STATUS.UNAVAILABLE));
  t.match(await readiness(3), /arca quorum restart/);
  t.match(await told(), Array(4).fill(/arca quorum restart/));
});

t.test('governance restarts it: the parties then wait for a reshare', async (t) => {
  for (const party of ALL) {
    const collected = await operate(folder(party), 'quorum', 'restart', 'collect', '--out', paper(`${party}.starts`));
    t.match(collected.starts, [{ party, restored: party <= 2 }]);
  }
  const starts = ALL.map((party) => paper(`${party}.starts`));
  const [restart, proposal] = [paper('restart.cbor'), paper('restart.cbor.proposal')];
  const make = ['quorum', 'restart', 'make', ...starts, ...charter, '--out', restart, '--json'];
  const made = await printed(make);
  t.same(await printed(['quorum', 'restart', 'show', restart, '--json']), made);
  t.same(made.remembered, [], 'nobody remembers a later state than was restored');
  const key = ['--key', join(dir, 'governance/governance-key.pem')];
  await printed(['proposal', 'approve', proposal, ...key, ...charter, '--json']);
  for (const party of ALL) {
    t.equal((await startOf(4)).phase, 'quorum-restart', 'whoever else has been told');
    await operate(folder(party), 'quorum', 'restart', 'apply', restart, '--proposal', proposal);
  }
  await untilPhase('reshare-due');
  t.match(await readiness(3), /reshared/);
  t.match(await told(), Array(4).fill(/reshared/));
  t.same(await refusals(), Array(4).fill(STATUS.UNAVAILABLE), 'and do nothing else');
});

t.test('killed and started again, it still waits', async () => {
  for (const party of ALL) await quorum.running.stopParty(party, true);
  await startParties(ALL);
  await untilPhase('reshare-due');
});
