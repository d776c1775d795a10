/** `arca release`: made from measurements, signed, approved, checked, handed to a node. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  decodeSignedReleaseSet,
  encodeSigned,
  GovernanceBook,
  RELEASE_DELAY_MS,
  signReleaseSet,
  withApproval,
} from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import { startTestAttester } from '../../helpers/software-nsm.ts';
import {
  CHARTER,
  digestOf,
  GOVERNANCE,
  NOW_MS,
  RELEASE,
  recordBytes,
  recordFields,
  signedRecord,
} from '../attestation/governance/fixtures.ts';
import { arca, governanceFolder, jsonOf, serveBook } from './governed-node.ts';

/** A folder with `record.cbor` and an unsigned set of release A in `1.cbor`. */
async function folder(t: Test): Promise<string> {
  const dir = governanceFolder(t);
  writeFileSync(join(dir, 'record.cbor'), encodeSigned(signedRecord(recordFields())));
  const made = await arca(
    dir,
    ...['release', 'create', '--network', 'mainnet-1', '--release', 'A', '--engine', '@A.json', '--core', '@A.json'],
    ...['--days', '90', '--out', '@1.cbor'],
  );
  t.equal(made.code, 0, made.stderr);
  return dir;
}

/** Signs as people would with `release sign` and `proposal approve`. */
function signAll(dir: string, file: string): void {
  const path = join(dir, file);
  const set = RELEASE.slice(1).reduce(
    (sum, key) => signReleaseSet(sum, key),
    decodeSignedReleaseSet(readFileSync(path)),
  );
  const approved = GOVERNANCE.slice(1).reduce((sum, key) => withApproval('release-set', sum, key), set);
  writeFileSync(path, encodeSigned(approved));
}

const TRUST = ['--record', '@record.cbor', '--charter', '@charter'];

t.test('a set takes the registers that each role needs from files of measurements', async (t) => {
  const dir = await folder(t);
  const { body } = decodeSignedReleaseSet(readFileSync(join(dir, '1.cbor')));
  t.match(
    body.entries
      .map(({ release, role, platform, pcrs }) => ({ release, role, platform, pcrs: [...pcrs.keys()] }))
      .sort((a, b) => a.role.localeCompare(b.role)),
    [
      { release: 'A', role: 'core', platform: 'nitro-tpm', pcrs: [4, 7, 11, 12] },
      { release: 'A', role: 'engine', platform: 'enclave', pcrs: [0, 1, 2] },
    ],
  );
  t.same(body.entries.find(({ role }) => role === 'engine')?.pcrs.get(2), digestOf('A 2'));
});

t.test('a set takes its measurement from an attestation document, verified under its root', async (t) => {
  const dir = governanceFolder(t);
  const attester = await startTestAttester({ role: 'engine' });
  t.teardown(() => attester.nsm.close());
  writeFileSync(join(dir, 'own.doc'), await attester.nsm.attest({ nonce: new Uint8Array(16) }));
  writeFileSync(join(dir, 'root.der'), attester.root.certificate);
  const create = ['release', 'create', '--network', 'dev:1', '--release', 'own', '--engine', '@own.doc', '--days', '1'];
  const made = await arca(dir, ...create, '--anchor', '@root.der', '--out', '@dev.cbor');
  t.equal(made.code, 0, made.stderr);
  const [entry] = decodeSignedReleaseSet(readFileSync(join(dir, 'dev.cbor'))).body.entries;
  t.match(entry, { platform: 'developer', role: 'engine' });
  for (const [name, json] of [
    ['wrapped', { label: 'arca-attest-1', document: readFileSync(join(dir, 'own.doc')).toString('base64') }],
    [
      'explained',
      { parsed: true, document: { pcrs: [...attester.pcrs].map(([index, pcr]) => ({ index, value: toHex(pcr) })) } },
    ],
    ['pcrs', { source: 'x', pcrs: Object.fromEntries([...attester.pcrs].map(([index, pcr]) => [index, toHex(pcr)])) }],
  ] as const) {
    writeFileSync(join(dir, 'other.json'), JSON.stringify(json));
    const args = create.map((arg) => (arg === '@own.doc' ? '@other.json' : arg));
    const other = await arca(dir, ...args, '--anchor', '@root.der', '--out', `@${name}.cbor`);
    t.equal(other.code, 0, other.stderr);
    const [same] = decodeSignedReleaseSet(readFileSync(join(dir, `${name}.cbor`))).body.entries;
    t.same(same?.pcrs, entry?.pcrs, name);
  }
  const refused = await arca(dir, ...create, '--out', '@x.cbor');
  t.equal(refused.code, 1, 'under the root of AWS it does not verify');
  t.match(refused.stderr, /cure: for a developer document give --anchor/);
});

t.test('check says what is missing until release keys and governance have signed', async (t) => {
  const dir = await folder(t);
  const missing = await arca(dir, 'release', 'check', '@1.cbor', ...TRUST);
  t.equal(missing.code, 1);
  t.match(
    missing.stdout,
    /needs the signatures of 3 release keys, has 0[\s\S]*needs the signatures of 3 governance keys, has 0/,
  );
  const signed = await arca(dir, 'release', 'sign', '@1.cbor', '--key', '@r1.pem', ...TRUST.slice(0, 2), '--json');
  t.match(jsonOf(signed), { releaseKeys: { signatures: 1, needed: 3, complete: false } });
  const approve = ['proposal', 'approve', '@1.cbor', '--key', '@g1.pem', '--charter', '@charter', '--json'];
  t.match(jsonOf(await arca(dir, ...approve)), { status: { signatures: 1, needed: 3 } });
  signAll(dir, '1.cbor');
  const { code, stdout, stderr } = await arca(dir, 'release', 'check', '@1.cbor', ...TRUST, '--json');
  t.equal(code, 0, stdout + stderr);
  t.match(JSON.parse(stdout), {
    ok: true,
    faults: [],
    unchecked: [],
    releaseKeys: { signatures: 4 },
    governance: { signatures: 4 },
  });
  const partly = await arca(dir, 'release', 'check', '@1.cbor');
  t.match(partly.stderr, /not checked: release signatures/);
  const again = await arca(dir, 'release', 'check', '@1.cbor', ...TRUST, '--previous', '@1.cbor');
  t.equal(again.code, 0, 'the very same set is no other of its version');
});

t.test('check refuses a record that governance has not signed: it says whose signatures count', async (t) => {
  const dir = await folder(t);
  signAll(dir, '1.cbor');
  t.equal((await arca(dir, 'release', 'check', '@1.cbor', ...TRUST)).code, 0);
  const record = signedRecord(recordFields());
  writeFileSync(join(dir, 'record.cbor'), encodeSigned({ ...record, approvals: record.approvals.slice(1) }));
  const { code, stdout } = await arca(dir, 'release', 'check', '@1.cbor', ...TRUST);
  t.equal(code, 1);
  t.match(stdout, 'fault: the record needs the signatures of 3 governance keys, has 2');
});

t.test('check explains every fault of a set that a person wrote', async (t) => {
  const dir = await folder(t);
  const entry = {
    release: 'A',
    platform: 'enclave',
    role: 'core',
    pcrs: { 0: '00'.repeat(48), 1: 'ab' },
    notBefore: 'now',
    notAfter: '2026-01-01T00:00:00Z',
  };
  const json = { body: { version: 1, network: 'mainnet-1', entries: [entry] }, signatures: [], approvals: [] };
  writeFileSync(join(dir, 'bad.json'), JSON.stringify(json));
  const { code, stdout } = await arca(dir, 'release', 'check', '@bad.json');
  t.equal(code, 1);
  for (const text of ['must be engine', 'lacks PCR 2', 'is zero', 'pcrs[1]', 'notBefore'])
    t.ok(stdout.includes(text), text);
});

t.test('a signed set is taken by the node at once when it is the first, and waits when it adds', async (t) => {
  const dir = await folder(t);
  const book = new GovernanceBook({ charter: CHARTER });
  const url = await serveBook(t, book, () => NOW_MS);
  book.offerRecord(recordBytes());
  const early = await arca(dir, 'release', 'apply', '@1.cbor', '--url', url);
  t.match(early, { code: 1, stderr: /3 of 4 release keys, has 0|PERMISSION_DENIED/ });
  signAll(dir, '1.cbor');
  t.match(jsonOf(await arca(dir, 'release', 'apply', '@1.cbor', '--url', url, '--json')), {
    state: 'in-force',
    version: 1,
  });
  await arca(
    dir,
    'release',
    'create',
    '--previous',
    '@1.cbor',
    '--release',
    'B',
    '--engine',
    '@B.json',
    '--days',
    '180',
    '--supersede',
    'A=B',
    '--out',
    '@2.cbor',
  );
  signAll(dir, '2.cbor');
  const effectiveFrom = new Date(NOW_MS + RELEASE_DELAY_MS).toISOString();
  t.match(jsonOf(await arca(dir, 'release', 'apply', '@2.cbor', '--url', url, '--json')), {
    state: 'pending',
    effectiveFrom,
  });
  const shown = await arca(dir, 'release', 'show', '--url', url);
  t.match(shown.stdout, /in force: release set 1[\s\S]*pending until .*: release set 2[\s\S]*superseded by B/);
  const old = await arca(dir, 'release', 'apply', '@1.cbor', '--url', url);
  t.match(old, { code: 1, stderr: /version 2 was seen|PRECONDITION_FAILED/ });
});

t.test('whoever hands over a set that cuts off the node itself is told so before', async (t) => {
  const dir = await folder(t);
  const url = await serveBook(t, new GovernanceBook({ charter: CHARTER }), () => NOW_MS);
  const listed = await arca(dir, 'release', 'apply', '@1.cbor', '--url', url);
  t.notMatch(listed.stderr, /cut off/);
  const remove = ['--previous', '@1.cbor', '--remove', 'A', '--out', '@2.cbor'];
  const add = ['--release', 'B', '--engine', '@B.json', '--days', '180'];
  t.equal((await arca(dir, 'release', 'create', ...remove, ...add)).code, 0);
  const cut = await arca(dir, 'release', 'apply', '@2.cbor', '--url', url);
  t.match(cut.stderr, /does not list release A, which the engine runs: it will be cut off/);
});

t.test('releases are superseded and removed by name; a name that is not there is refused', async (t) => {
  const dir = await folder(t);
  const base = ['release', 'create', '--previous', '@1.cbor'];
  t.match(await arca(dir, ...base, '--remove', 'Z', '--out', '@x'), { code: 1, stderr: /no release 'Z'/ });
  t.match(await arca(dir, ...base, '--supersede', 'A=Z', '--out', '@x'), { code: 1, stderr: /no release 'Z'/ });
  const longer = await arca(dir, ...base, '--extend', 'A', '--not-after', '2100-01-01', '--out', '@longer.cbor');
  t.equal(longer.code, 0, longer.stderr);
  const { entries } = decodeSignedReleaseSet(readFileSync(join(dir, 'longer.cbor'))).body;
  t.same(
    entries.map(({ notAfterMs }) => notAfterMs),
    [Date.parse('2100-01-01'), Date.parse('2100-01-01')],
  );
  const emptied = await arca(dir, ...base, '--remove', 'A', '--out', '@none.cbor');
  t.equal(emptied.code, 0);
  t.match(emptied.stderr, /nobody trusts anybody/);
  t.same(decodeSignedReleaseSet(readFileSync(join(dir, 'none.cbor'))).body.entries, []);
});

t.test('wrong usage is explained', async (t) => {
  const dir = await folder(t);
  for (const [args, wanted] of [
    [['--out', '@x'], /needs a network/],
    [['--network', 'n', '--release', 'A', '--out', '@x'], /needs a measurement/],
    [['--network', 'n', '--engine', '@A.json', '--out', '@x'], /need the name of their release/],
    [['--network', 'n', '--release', 'A', '--engine', '@A.json', '--out', '@x'], /needs one end/],
    [
      ['--network', 'n', '--release', 'A', '--engine', '@A.json', '--not-after', 'soon', '--out', '@x'],
      /'soon' is no time/,
    ],
    [['--previous', '@1.cbor', '--version-number', '1', '--out', '@x'], /does not come after/],
  ] as const) {
    t.match(await arca(dir, 'release', 'create', ...args), { code: 2, stderr: wanted }, args.join(' '));
  }
  writeFileSync(join(dir, 'empty.json'), '{}');
  const none = await arca(
    dir,
    'release',
    'create',
    '--network',
    'n',
    '--release',
    'A',
    '--engine',
    '@empty.json',
    '--days',
    '1',
    '--out',
    '@x',
  );
  t.match(none, { code: 1, stderr: /has no measurement/ });
});

t.test('signatures of strangers are named and count nothing', async (t) => {
  const dir = await folder(t);
  t.match(await arca(dir, 'release', 'sign', '@1.cbor', '--key', '@g1.pem', '--record', '@record.cbor'), {
    code: 1,
    stderr: /none of the release keys/,
  });
  t.equal(
    (await arca(dir, 'release', 'sign', '@1.cbor', '--key', '@g1.pem')).code,
    0,
    'without --record anybody may sign',
  );
  const { stdout } = await arca(dir, 'release', 'show', '@1.cbor', ...TRUST, '--json');
  const { releaseKeys } = JSON.parse(stdout);
  const { signatures } = decodeSignedReleaseSet(readFileSync(join(dir, '1.cbor')));
  t.match(releaseKeys, { signatures: 0, unknownKeys: signatures.map(({ key }) => toHex(key)) });
});
