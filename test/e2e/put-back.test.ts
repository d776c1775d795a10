/**
 * All parties of a quorum find their vaults put back to one instant, as whoever owns the storage can do it: none serves, each
 * says which state lies where, and with the newer state in its place they serve again.
 */
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { runChecks } from '../../parent/cli/actions/doctor.ts';
import { CHECKS, newFindings } from '../../parent/cli/doctor/checks.ts';
import { quorumBanner } from '../../parent/cli/quorum/quorum-banner.ts';
import { decryptAt, encryptFromBucket, VALUE } from '../helpers/aws-quorum.ts';
import { present } from '../helpers/present.ts';
import { startQuorum, type TestQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const dir = tempDir(t);
const copies = tempDir(t);
/** The buckets, root keys and all else that the emulated cloud keeps. */
const CLOUD = 'aws';
const PRIVATE = join(CLOUD, 'buckets', 'kms-private');
/** Until the whole file has ended, not one test of it. */
const start = () => startQuorum(t, { parties: 4, aws: true, dir });

/** Keeps a part of the quorum's folder as it is; nothing may be written meanwhile. */
const keep = (part: string, as: string): void => cpSync(join(dir, part), join(copies, as), { recursive: true });

/** Puts a part back. */
function putBack(part: string, from: string): void {
  rmSync(join(dir, part), { recursive: true });
  cpSync(join(copies, from), join(dir, part), { recursive: true });
}

const headFile = (party: number): string => join(dir, `party-${party}`, 'core.sqlite.vault-head');

/** Waits until every backup is as its vault is. */
async function backedUp({ members }: TestQuorum): Promise<void> {
  for (const { node } of members) {
    for (let text = ''; !/^kms_backup_behind_seconds 0$/m.test(text); await delay(100)) {
      text = await (await fetch(`${node.opsUrl}/metrics`)).text();
    }
  }
}

let quorum = await start();
const first = present((await quorum.generateKey())[0]?.requestId?.requestId);
const ciphertext = await encryptFromBucket(t, quorum, first);
await backedUp(quorum);
keep(CLOUD, 'old');
await quorum.generateKey();
await backedUp(quorum);
await quorum.stop();
keep(CLOUD, 'new');

/** Nobody serves, and everybody says why: in the log, to probes, to operators. */
async function refusesByName(t: Test, { members, running }: TestQuorum, who: RegExp): Promise<void> {
  t.match(quorumBanner(running), /0 of 4 parties are ready/);
  const said = new RegExp(`the private vault was put back: it is in state \\d+.*${who.source}`);
  for (const { party, node, readLog } of members) {
    const ready = await fetch(`${node.opsUrl}/ready`);
    t.equal(ready.status, 503, `party ${party}`);
    t.match(await ready.text(), said, `party ${party}`);
    t.match(readLog(), /"event":"vault.put-back"/, `party ${party}`);
  }
  await t.rejects(
    runChecks(CHECKS, newFindings(join(dir, 'party-1')), () => undefined),
    { message: said },
    'arca doctor',
  );
}

t.test('private vaults that were all put back are found out from their backups', async (t) => {
  putBack(PRIVATE, join('old', 'buckets', 'kms-private'));
  for (const { party } of quorum.members) rmSync(headFile(party));
  quorum = await start();
  await refusesByName(t, quorum, /its backup in aws-kms-[0-9a-f]{16} has state \d+/);
  await quorum.stop();
});

t.test('with the newer vaults in their place the quorum serves again', async (t) => {
  putBack(PRIVATE, join('new', 'buckets', 'kms-private'));
  quorum = await start();
  t.same(await decryptAt(quorum.members, ciphertext), Array(4).fill(VALUE));
  await backedUp(quorum);
  for (const { party } of quorum.members) t.match(readFileSync(headFile(party), 'utf8'), /^\d+:[0-9a-f]{96}\n$/);
  await quorum.stop();
});

t.test('all storage put back at once, backups and all, is found out from what the Cores have kept', async (t) => {
  putBack(CLOUD, 'old');
  quorum = await start();
  await refusesByName(t, quorum, /its Core has state \d+/);
});
