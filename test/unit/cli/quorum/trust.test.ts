/** What the parties of a developer quorum are attested under: made once, kept, and refused when it does not fit together. */
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  charterToJson,
  decodeCharter,
  decodeSignedRecord,
  verifyRecord,
} from '../../../../attestation/governance/index.ts';
import { toHex } from '../../../../common/bytes.ts';
import { watchEnrolment } from '../../../../parent/cli/quorum/enrolment.ts';
import { ensureQuorumRelease } from '../../../../parent/cli/quorum/quorum-release.ts';
import {
  governanceFile,
  instanceIdOf,
  openQuorumTrust,
  readMeshPorts,
  readQuorumRecord,
  trustFolder,
} from '../../../../parent/cli/quorum/quorum-trust.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';

const NOW = Date.UTC(2026, 5, 1);
const CLOCK = { nowMs: () => NOW, monotonicMs: () => 0 };
const NUMBERS = [1, 2, 3, 4];
const endpointsFrom = (port: number) => NUMBERS.map((party) => ({ party, endpoint: `127.0.0.1:${port + party}` }));
const addressOf = (party: number) => new Uint8Array(20).fill(0xa0 + party);
const textOf = (party: number) => `0x${toHex(addressOf(party))}`;

const open = (dir: string, port = 7000) => openQuorumTrust(dir, endpointsFrom(port), CLOCK);
const bytesOf = (dir: string, party: number, name: 'charter' | 'record' | 'releases') =>
  readFileSync(governanceFile(dir, party, name));
const recordOf = (dir: string, party: number) => decodeSignedRecord(bytesOf(dir, party, 'record')).body;

/** Until the record in the folders names all addresses, which takes a few file operations. */
async function untilEnrolled(dir: string): Promise<void> {
  while (!NUMBERS.every((party) => recordOf(dir, party).parties.every(({ address }) => address !== undefined))) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function enrolled(t: Teardown): Promise<string> {
  const dir = tempDir(t);
  const enrolment = watchEnrolment(dir, await open(dir));
  for (const party of NUMBERS) {
    enrolment.onFacts(party, { event: 'engine.unenrolled', party, address: textOf(party) });
  }
  await untilEnrolled(dir);
  return dir;
}

t.test('charters differ in the number alone, and one record names all parties', async (t) => {
  const dir = tempDir(t);
  const { charter, record } = await open(dir);
  for (const party of NUMBERS) {
    t.strictSame(charterToJson(decodeCharter(bytesOf(dir, party, 'charter'))), charterToJson({ ...charter, party }));
    t.strictSame(verifyRecord(bytesOf(dir, party, 'record'), charter).body, record.body, 'approved under the charter');
  }
  t.equal(record.body.version, 1);
  t.strictSame(record.body.parties, endpointsFrom(7000));
  t.equal(statSync(join(trustFolder(dir), 'governance-key.pem')).mode & 0o077, 0);
  const ids = NUMBERS.map((party) => instanceIdOf(charter, party));
  t.equal(new Set(ids).size, 4);
  t.ok(ids.every((id) => /^i-[0-9a-f]{17}$/.test(id)));
});

t.test('a second start finds everything as it was; other endpoints are the next version', async (t) => {
  const dir = tempDir(t);
  const first = await open(dir);
  const again = await open(dir);
  t.strictSame(again.record.bytes, first.record.bytes);
  t.strictSame(charterToJson(again.charter), charterToJson(first.charter));
  const moved = await open(dir, 8000);
  t.equal(moved.record.body.version, 2);
  t.strictSame(recordOf(dir, 3).parties, endpointsFrom(8000));
  t.strictSame(
    [...(await readMeshPorts(dir, NUMBERS))],
    NUMBERS.map((party) => [party, 8000 + party]),
  );
});

t.test('the newest record of any party counts, and a party that lacks files gets them again', async (t) => {
  const dir = await enrolled(t);
  const newest = bytesOf(dir, 4, 'record');
  for (const party of [1, 2]) rmSync(governanceFile(dir, party, 'record'));
  rmSync(governanceFile(dir, 1, 'charter'));
  const { record, charter } = await open(dir);
  t.equal(charter.party, 1);
  t.strictSame(
    record.body.parties.map(({ address }) => address && toHex(address)),
    NUMBERS.map((party) => toHex(addressOf(party))),
  );
  for (const party of NUMBERS) t.ok(newest.equals(bytesOf(dir, party, 'record')), `party ${party}`);
  t.equal((await readQuorumRecord(dir, 4)).version, 2);
});

t.test(
  'without the folders of all parties: the same quorum if its vaults are elsewhere, another if they went with them',
  async (t) => {
    const dir = await enrolled(t);
    const { charter, record } = await open(dir, 8000);
    const newest = bytesOf(dir, 1, 'record');
    const loseAll = (): void => {
      for (const party of NUMBERS) rmSync(join(dir, `party-${party}`), { recursive: true });
    };
    loseAll();
    const back = await openQuorumTrust(dir, endpointsFrom(8000), CLOCK, { isFirstStart: false });
    t.strictSame(charterToJson(back.charter), charterToJson(charter));
    t.strictSame(back.record.bytes, record.bytes);
    for (const party of NUMBERS) {
      t.strictSame(charterToJson(decodeCharter(bytesOf(dir, party, 'charter'))), charterToJson({ ...charter, party }));
      t.ok(newest.equals(bytesOf(dir, party, 'record')), `party ${party}`);
    }
    loseAll();
    const other = await open(dir, 8000);
    t.not(other.charter.network, charter.network);
    t.ok(other.record.body.parties.every(({ address }) => address === undefined));
  },
);

t.test('where all records are lost, engines that remember one still take the new one', async (t) => {
  const dir = await enrolled(t);
  for (const party of NUMBERS) rmSync(governanceFile(dir, party, 'record'));
  mkdirSync(join(dir, 'party-2', 'private', 'PRIV-p2'), { recursive: true });
  t.equal((await open(dir)).record.body.version, Math.floor(NOW / 1000));
});

t.test('files that do not belong together are named with a cure', async (t) => {
  const [dir, other] = [await enrolled(t), await enrolled(t)];
  const cases: readonly [string, string, () => void][] = [
    [
      'a charter of another party',
      'party 3',
      () => copyFileSync(governanceFile(dir, 2, 'charter'), governanceFile(dir, 3, 'charter')),
    ],
    [
      'a charter of another network',
      'charter',
      () => copyFileSync(governanceFile(other, 1, 'charter'), governanceFile(dir, 1, 'charter')),
    ],
    [
      'a record of another network',
      'record.cbor',
      () => copyFileSync(governanceFile(other, 2, 'record'), governanceFile(dir, 2, 'record')),
    ],
    [
      'a torn record',
      'record.cbor',
      () => writeFileSync(governanceFile(dir, 4, 'record'), bytesOf(dir, 4, 'record').subarray(0, 40)),
    ],
    [
      'another governance key',
      'governance key',
      () => copyFileSync(join(trustFolder(other), 'governance-key.pem'), join(trustFolder(dir), 'governance-key.pem')),
    ],
  ];
  for (const [why, named, damage] of cases) {
    const files = [
      ...NUMBERS.flatMap((party) => (['charter', 'record'] as const).map((name) => governanceFile(dir, party, name))),
      join(trustFolder(dir), 'governance-key.pem'),
    ];
    const before = files.map((file) => readFileSync(file));
    damage();
    await t.rejects(open(dir), { code: 'STATE_INVALID', message: new RegExp(named), facts: { cure: /--reset/ } }, why);
    for (const [at, file] of files.entries()) writeFileSync(file, before[at] ?? '');
  }
  await open(dir);
  await t.rejects(openQuorumTrust(dir, endpointsFrom(7000).slice(0, 3), CLOCK), {
    code: 'STATE_INVALID',
    message: /names the parties 1, 2, 3, 4/,
  });
  await t.rejects(readQuorumRecord(tempDir(t), 4), { code: 'STATE_INVALID', message: /never started/ });
});

t.test('enrolment waits for all addresses, then signs one record for all', async (t) => {
  const dir = tempDir(t);
  const trust = await open(dir);
  const enrolment = watchEnrolment(dir, trust);
  for (const party of [2, 1, 4])
    enrolment.onFacts(party, { event: 'engine.unenrolled', party, address: textOf(party) });
  enrolment.onFacts(1, { event: 'engine.unenrolled', party: 1, address: textOf(1) });
  enrolment.onFacts(3, { event: 'engine.ready', party: 3, address: textOf(3) });
  t.equal(recordOf(dir, 1).version, 1, 'three of four are not all');
  enrolment.onFacts(3, { event: 'engine.unenrolled', party: 3, address: textOf(3) });
  await untilEnrolled(dir);
  for (const party of NUMBERS) {
    const { body } = verifyRecord(bytesOf(dir, party, 'record'), trust.charter);
    t.equal(body.version, 2);
    t.strictSame(body.parties[2], { party: 3, endpoint: '127.0.0.1:7003', address: addressOf(3) });
  }
});

t.test('a log that lies about who it is stops the start', async (t) => {
  const dir = await enrolled(t);
  const fresh = tempDir(t);
  const hostile: readonly [string, string, unknown, unknown][] = [
    ['another number', fresh, 2, textOf(1)],
    ['no number', fresh, '1', textOf(1)],
    ['a short address', fresh, 1, '0x00'],
    ['no address', fresh, 1, undefined],
    ['an object', fresh, 1, { toString: () => textOf(1) }],
    ['an address of another vault', dir, 1, textOf(9)],
  ];
  for (const [why, folder, party, address] of hostile) {
    const enrolment = watchEnrolment(folder, await open(folder));
    enrolment.onFacts(1, { event: 'engine.unenrolled', party, address });
    await t.rejects(enrolment.failed, { code: 'STATE_INVALID' }, why);
  }
  t.equal(recordOf(dir, 1).version, 2, 'the record is as it was');
});

t.test('all parties trust the one release that was measured, and a newer set of one party wins', async (t) => {
  const dir = await enrolled(t);
  const trust = await open(dir);
  const registers = (indexes: readonly number[], fill: number) =>
    new Map(indexes.map((index) => [index, new Uint8Array(48).fill(fill + index)] as const));
  const measured = (fill: number) =>
    new Map([
      ['engine', registers([0, 1, 2], fill)],
      ['core', registers([4, 7, 11, 12], fill)],
    ] as const);
  await ensureQuorumRelease(dir, NUMBERS, trust, measured(1), CLOCK);
  const first = bytesOf(dir, 1, 'releases');
  t.ok(NUMBERS.every((party) => first.equals(bytesOf(dir, party, 'releases'))));
  await ensureQuorumRelease(dir, NUMBERS, trust, measured(1), CLOCK);
  t.ok(first.equals(bytesOf(dir, 1, 'releases')), 'the same programs, the same set');
  await ensureQuorumRelease(dir, NUMBERS, trust, measured(5), CLOCK);
  const second = bytesOf(dir, 3, 'releases');
  t.notOk(first.equals(second));
  writeFileSync(governanceFile(dir, 1, 'releases'), first);
  await ensureQuorumRelease(dir, NUMBERS, trust, measured(5), CLOCK);
  t.ok(second.equals(bytesOf(dir, 1, 'releases')), 'the older one of party 1 did not win');
});
