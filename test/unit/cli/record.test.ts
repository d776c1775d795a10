/** `arca record`: proposed, signed by people one after the other, handed to a node. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  decodeSignedRecord,
  encodeSigned,
  GovernanceBook,
  rawPublicKey,
  recordToJson,
} from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import { keyPolicyHash } from '../../../wire/key-policy/policy-text.ts';
import { CHARTER, NOW_MS, RELEASE, recordFields, signedRecord } from '../attestation/governance/fixtures.ts';
import { arca, governanceFolder, jsonOf, serveBook } from './governed-node.ts';

/** A folder with `record.json`, the fields of a record without version and network. */
function folder(t: Test): string {
  const dir = governanceFolder(t);
  const { version: _version, network: _network, ...fields } = recordToJson(recordFields());
  writeFileSync(join(dir, 'record.json'), JSON.stringify(fields));
  return dir;
}

const POLICY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Sid: 'A', Effect: 'Allow', Principal: { AWS: '*' }, Action: 'kms:Decrypt', Resource: '*' }],
});

const PROPOSE = ['record', 'propose', '--charter', '@charter'];
const sign = (dir: string, key: string) =>
  arca(dir, 'record', 'sign', '@1.cbor', '--key', `@${key}.pem`, '--charter', '@charter', '--json');

t.test('a record goes from proposal over three signatures to the node', async (t) => {
  const dir = folder(t);
  const book = new GovernanceBook({ charter: CHARTER });
  const url = await serveBook(t, book, () => NOW_MS);
  const proposed = await arca(dir, ...PROPOSE, '--from', '@record.json', '--out', '@1.cbor', '--json');
  t.match(jsonOf(proposed), {
    record: { body: { version: 1, network: 'mainnet-1' } },
    status: { signatures: 0, needed: 3 },
  });
  for (const [at, key] of ['g1', 'g3'].entries()) {
    t.match(jsonOf(await sign(dir, key)), { status: { signatures: at + 1, complete: false } });
  }
  const early = await arca(dir, 'record', 'apply', '@1.cbor', '--url', url);
  t.equal(early.code, 1);
  t.match(early.stderr, /needs 3 governance signatures|APPROVAL_MISSING|governance must sign/);
  t.equal(book.record, undefined);
  t.match(jsonOf(await sign(dir, 'g4')), { status: { signatures: 3, complete: true } });
  const applied = await arca(dir, 'record', 'apply', '@1.cbor', '--url', url, '--json');
  t.equal(applied.code, 0, applied.stderr);
  t.match(jsonOf(applied), { applied: true, version: 1 });
  t.equal(book.record?.body.version, 1);
  const shown = await arca(dir, 'record', 'show', '--url', url);
  t.match(shown.stdout, /governed record 1 of network mainnet-1[\s\S]*3 of 3 signatures: complete/);
});

t.test('the next record keeps the fields of the previous one and counts its version up', async (t) => {
  const dir = folder(t);
  await arca(dir, ...PROPOSE, '--from', '@record.json', '--out', '@1.cbor');
  const address = `0x${'1f'.repeat(20)}`;
  const next = await arca(
    dir,
    ...[
      ...PROPOSE,
      '--previous',
      '@1.cbor',
      '--release-key',
      '@r2.pem',
      '--party',
      `2=${address}@new.example.org:50200`,
    ],
    ...['--policy', 'checked', '--out', '@2.cbor'],
  );
  t.equal(next.code, 0, next.stderr);
  const { body, approvals } = decodeSignedRecord(readFileSync(join(dir, '2.cbor')));
  t.equal(body.version, 2);
  t.same(approvals, []);
  t.same(body.releaseKeys.map(toHex), RELEASE.slice(1, 2).map(rawPublicKey).map(toHex));
  t.equal(body.authorizationPolicy, 'checked');
  t.equal(body.parties.length, 4);
  t.match(body.parties[1], { party: 2, endpoint: 'new.example.org:50200' });
  t.same(body.context, recordFields().context);
});

t.test(
  'root keys of a party are named by it, outlive a change of its address, and the one before stays known',
  async (t) => {
    const dir = folder(t);
    await arca(dir, ...PROPOSE, '--from', '@record.json', '--out', '@1.cbor');
    const arn = (name: string) => `arn:aws:kms:eu-west-1:123456789012:key/00000000-${name}`;
    const propose = (...how: string[]) =>
      arca(dir, ...PROPOSE, '--previous', '@1.cbor', '--out', '@1.cbor', '--force', ...how);
    const keys = () => decodeSignedRecord(readFileSync(join(dir, '1.cbor'))).body.parties[1]?.aws;
    t.match(await propose('--root-key', `2=${arn('a')},${arn('b')}`), { code: 0, stdout: arn('b') });
    t.same(keys(), { account: '123456789012', region: 'eu-west-1', primaryKeyId: arn('a'), backupKeyId: arn('b') });
    t.match(await propose('--party', '2=@new.example.org:50200'), { code: 0 });
    t.match(keys(), { primaryKeyId: arn('a') });
    t.match(await propose('--root-key', `2=${arn('c')}`), { code: 0 });
    t.same(keys(), { account: '123456789012', region: 'eu-west-1', primaryKeyId: arn('c'), previousKeyId: arn('a') });
    const [file, hash] = [join(dir, 'policy.json'), keyPolicyHash(POLICY)];
    writeFileSync(file, POLICY);
    const both = ['--root-key', `2=${arn('d')}`, '--key-policy', `2=${file}`];
    t.match(await propose(...both), { code: 0, stdout: toHex(hash) });
    t.match(keys(), { primaryKeyId: arn('d'), keyPolicy: hash });
    t.match(await propose('--root-key', `2=${arn('e')}`), { code: 0 });
    t.equal(keys()?.keyPolicy, undefined, 'the policy of one key is not that of the next');
    t.match(await propose('--key-policy', `9=${file}`), { code: 2, stderr: /party 9 has no root key/ });
    t.match(await propose('--key-policy', 'policy.json'), { code: 2, stderr: /names no policy/ });
    t.match(await propose('--root-key', `9=${arn('c')}`), { code: 2, stderr: /no party 9/ });
    t.match(await propose('--root-key', '2=key'), { code: 2, stderr: /'2=key' names no root key/ });
  },
);

t.test('a key that others may read, one that governs nothing, and a foreign charter are refused', async (t) => {
  const dir = folder(t);
  await arca(dir, ...PROPOSE, '--from', '@record.json', '--out', '@1.cbor');
  const before = readFileSync(join(dir, '1.cbor'));
  t.match(await sign(dir, 'r1'), { code: 1, stderr: /none of the governance keys/ });
  chmodSync(join(dir, 'g1.pem'), 0o604);
  t.match(await sign(dir, 'g1'), { code: 1, stderr: /mode 0604.*\n.*chmod 600/ });
  writeFileSync(join(dir, 'g2.pem'), 'no key', { mode: 0o600 });
  t.match(await sign(dir, 'g2'), { code: 1, stderr: /no unencrypted Ed25519 private key/ });
  t.match(await arca(dir, 'record', 'sign', '@1.cbor', '--key', dir, '--charter', '@charter'), {
    code: 1,
    stderr: /is no file/,
  });
  await arca(dir, 'charter', 'create', '--from', '@charter', '--network', 'other', '--out', '@charter', '--force');
  t.match(await sign(dir, 'g3'), { code: 1, stderr: /is of network mainnet-1, the charter of other/ });
  t.same(readFileSync(join(dir, '1.cbor')), before, 'the file is as it was');
});

t.test('an address whose checksum is wrong enrols nobody', async (t) => {
  const dir = governanceFolder(t);
  writeFileSync(join(dir, 'record.cbor'), encodeSigned(signedRecord(recordFields())));
  const propose = (address: string) =>
    arca(
      dir,
      ...['record', 'propose', '--charter', '@charter', '--previous', '@record.cbor', '--force'],
      ...['--party', `1=${address}@p1:7000`, '--out', '@next.cbor'],
    );
  const address = '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed';
  t.match(await propose(address), { code: 0, stdout: new RegExp(`party 1 +${address} p1:7000`) });
  t.match(await propose(address.toLowerCase()), { code: 0, stdout: address }, 'without capitals there is no checksum');
  const wrong = await propose(address.replace('5aA', '5AA'));
  t.equal(wrong.code, 2);
  t.match(wrong.stderr, /checksum of 0x5AAe\w+ is wrong/);
});

t.test('every fault of a proposed record is named, and nothing is written', async (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'bad.json'), JSON.stringify({ context: '00', parties: [], extra: 1 }));
  const { code, stderr } = await arca(dir, ...PROPOSE, '--from', '@bad.json', '--out', '@bad.cbor');
  t.equal(code, 1);
  for (const path of ['releaseKeys', 'parties', 'context', 'eip712Domains', 'unknown field'])
    t.ok(stderr.includes(path), path);
  t.throws(() => readFileSync(join(dir, 'bad.cbor')), { code: 'ENOENT' });
  t.match(await arca(dir, ...PROPOSE, '--party', 'two', '--out', '@x'), { code: 2, stderr: /'two' is no party/ });
});
