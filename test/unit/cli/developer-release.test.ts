/** The release set that each start of a developer node makes. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  encodeSigned,
  makeReleaseSet,
  signReleaseSet,
  verifyReleaseSet,
  withApproval,
} from '../../../attestation/governance/index.ts';
import type { Clock } from '../../../common/clock.ts';
import { ensureDeveloperRelease, type MeasuredRoles } from '../../../parent/cli/supervise/developer-release.ts';
import { openDeveloperTrust } from '../../../parent/cli/supervise/developer-trust.ts';
import { present } from '../../helpers/present.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const NOW_MS = Date.UTC(2026, 5, 1);
const clock: Clock = { nowMs: () => NOW_MS, monotonicMs: () => 0 };

/** Measurements of two programs; the byte stands for their sources. */
function measured(byte: number): MeasuredRoles {
  const pcrs = (indexes: readonly number[]) => new Map(indexes.map((index) => [index, new Uint8Array(48).fill(byte)]));
  return new Map([
    ['engine', pcrs([0, 1, 2])],
    ['core', pcrs([4, 7, 11, 12])],
  ]);
}

async function openTrust(folder: string, state = join(folder, 'core.sqlite')) {
  const paths = ['charter', 'record', 'releases'].map((name) => join(folder, `${name}.cbor`));
  const [charter = '', record = '', releases = ''] = paths;
  const root = join(folder, 'developer-root.pem');
  const governanceKey = join(folder, 'governance-key.pem');
  const files = { charter, record, releases, root, governanceKey, state };
  return { releases, trust: await openDeveloperTrust(files, clock) };
}

t.test('an instance is a state folder: at every start the same, with the same charter elsewhere another', async (t) => {
  const folder = tempDir(t);
  const { trust } = await openTrust(folder);
  t.match(trust.instanceId, /^i-[0-9a-f]{17}$/);
  t.equal((await openTrust(folder)).trust.instanceId, trust.instanceId);
  const elsewhere = (await openTrust(folder, join(tempDir(t), 'core.sqlite'))).trust;
  t.equal(elsewhere.charter.network, trust.charter.network);
  t.not(elsewhere.instanceId, trust.instanceId, 'neither takes the lease of the other for its own');
});

t.test('a file that is damaged, lost or of another node is named with its cure', async (t) => {
  const cure = /--reset/;
  for (const name of ['charter.cbor', 'record.cbor']) {
    const folder = tempDir(t);
    await openTrust(folder);
    writeFileSync(join(folder, name), 'damaged');
    await t.rejects(openTrust(folder), { code: 'STATE_INVALID', message: new RegExp(name), facts: { cure } }, name);
  }
  for (const name of ['charter.cbor', 'developer-root.key', 'governance-key.pem']) {
    const folder = tempDir(t);
    await openTrust(folder);
    rmSync(join(folder, name));
    for (const round of [1, 2]) {
      await t.rejects(openTrust(folder), { code: 'STATE_INVALID', facts: { cure } }, `${name}, start ${round}`);
    }
  }
  const { releases, trust } = await openTrust(tempDir(t));
  writeFileSync(releases, 'damaged');
  await t.rejects(ensureDeveloperRelease(releases, trust, measured(1), clock), { message: /releases.cbor/ });
});

t.test('counts versions up, and leaves a set that trusts what runs as it is', async (t) => {
  const { releases, trust } = await openTrust(tempDir(t));
  const versionAfter = async (byte: number, enrolled: boolean): Promise<number> => {
    const body = { ...trust.record.body, version: enrolled ? 2 : 1 };
    await ensureDeveloperRelease(releases, { ...trust, record: { ...trust.record, body } }, measured(byte), clock);
    return verifyReleaseSet(readFileSync(releases), body).body.version;
  };
  t.equal(await versionAfter(1, false), 1);
  t.equal(await versionAfter(1, true), 1);
  t.equal(await versionAfter(2, true), 2);
  // The engine of an enrolled node remembers version 2 and takes none that is older.
  rmSync(releases);
  t.equal(await versionAfter(3, true), NOW_MS / 1000, 'beyond all that were counted');
  t.equal(await versionAfter(4, true), NOW_MS / 1000 + 1);
});

t.test('a set lists engines in enclaves too, and its order means nothing', async (t) => {
  const { releases, trust } = await openTrust(tempDir(t));
  const enclaves = [new Map([0, 1, 2].map((index) => [index, new Uint8Array(48).fill(9)]))];
  const all = measured(1);
  await ensureDeveloperRelease(releases, trust, all, clock, enclaves);
  const written = readFileSync(releases);
  t.equal(verifyReleaseSet(written, trust.record.body).body.entries.length, all.size + 1);
  await ensureDeveloperRelease(releases, trust, new Map([...all].reverse()), clock, enclaves);
  t.same(readFileSync(releases), written, 'left as it is');
  await ensureDeveloperRelease(releases, trust, all, clock);
  t.equal(
    verifyReleaseSet(readFileSync(releases), trust.record.body).body.entries.length,
    all.size,
    'without it again',
  );
});

t.test(
  'a set of the operator that lists what runs beside another release stays; one that does not is replaced',
  async (t) => {
    const { releases, trust } = await openTrust(tempDir(t));
    const { releaseKey, governanceKey, record } = trust;
    await ensureDeveloperRelease(releases, trust, measured(1), clock);
    const { body } = verifyReleaseSet(readFileSync(releases), record.body);
    const next = [...measured(2)].map(([role, pcrs]) => ({ ...present(body.entries[0]), release: 'next', role, pcrs }));
    const both = makeReleaseSet({ ...body, version: 2, entries: [...body.entries, ...next] });
    const signed = withApproval('release-set', signReleaseSet(both, releaseKey), governanceKey);
    writeFileSync(releases, encodeSigned(signed));
    for (const byte of [1, 2]) {
      await ensureDeveloperRelease(releases, trust, measured(byte), clock);
      t.same(readFileSync(releases), Buffer.from(encodeSigned(signed)), `release ${byte} runs`);
    }
    await ensureDeveloperRelease(releases, trust, measured(3), clock);
    t.equal(
      verifyReleaseSet(readFileSync(releases), record.body).body.entries.length,
      2,
      'and nothing else is trusted',
    );
  },
);
