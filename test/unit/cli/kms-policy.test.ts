/** `arca kms policy`: made for a release set and a charter, judged with what AWS says of the key, compared. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { encodeSigned, makeReleaseSet, pcr16Of } from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import { keyPolicyHash } from '../../../wire/key-policy/policy-text.ts';
import { ADMIN_ARN, ENGINE_ARN, ROOT_ARN } from '../../helpers/aws-kms.ts';
import { CHARTER, coreEntry, DAY_MS, engineEntry, MAINNET, pcrsOf } from '../attestation/governance/fixtures.ts';
import { arca, governanceFolder, jsonOf } from './governed-node.ts';

const NOW = Date.now();
const WINDOW = { notBeforeMs: NOW - DAY_MS, notAfterMs: NOW + 90 * DAY_MS };
const TRUST = ['--charter', '@charter', '--releases', '@set.cbor', '--engine-role', ENGINE_ARN];
const KEY = {
  KeyMetadata: {
    Origin: 'AWS_KMS',
    MultiRegion: false,
    KeySpec: 'SYMMETRIC_DEFAULT',
    KeyUsage: 'ENCRYPT_DECRYPT',
    KeyState: 'Enabled',
    KeyManager: 'CUSTOMER',
  },
};

/** A folder with a charter, a release set of A, B and the ended O, and what AWS says of a good key. */
function folder(t: Test): string {
  const dir = governanceFolder(t);
  const entries = [
    engineEntry('A', WINDOW),
    engineEntry('B', WINDOW),
    engineEntry('O', { notBeforeMs: NOW - 2 * DAY_MS, notAfterMs: NOW - DAY_MS }),
    coreEntry('A', WINDOW),
  ];
  writeFileSync(join(dir, 'set.cbor'), encodeSigned(makeReleaseSet({ version: 3, network: MAINNET, entries })));
  writeFileSync(join(dir, 'key.json'), JSON.stringify(KEY));
  writeFileSync(join(dir, 'grants.json'), JSON.stringify({ Grants: [], Truncated: false }));
  return dir;
}

async function create(dir: string, out: string, ...more: readonly string[]) {
  return await arca(dir, 'kms', 'policy', 'create', ...TRUST, '--admin-role', ADMIN_ARN, '--out', out, ...more);
}

t.test('a policy names the engines of the set that have not ended, and the charter', async (t) => {
  const dir = folder(t);
  const made = await create(dir, '@policy.json', '--json');
  t.equal(made.code, 0, made.stderr);
  const text = readFileSync(join(dir, 'policy.json'), 'utf8');
  t.match(jsonOf(made), { releases: ['A', 'B'], party: 1, network: MAINNET, hash: toHex(keyPolicyHash(text)) });
  t.ok(text.includes(toHex(pcr16Of(CHARTER))));
  for (const name of ['A', 'B']) t.ok(text.includes(toHex(pcrsOf(name).get(0) ?? new Uint8Array(0))), name);
  t.notOk(text.includes(toHex(pcrsOf('O').get(0) ?? new Uint8Array(0))), 'an ended release');

  const again = await create(dir, '@policy.json');
  t.equal(again.code, 1);
  t.match(again.stderr, /is there already/);
  const one = await create(dir, '@one.json', '--release', 'B');
  t.match(one.stdout, /releases B:[\s\S]*--bypass-policy-lockout-safety-check/);
  const diff = await arca(dir, 'kms', 'policy', 'diff', '@one.json', '@policy.json', '--json');
  t.equal(diff.code, 1);
  t.match(jsonOf(diff), { equal: false, differences: [{ only: 'first' }] });
  const same = await arca(dir, 'kms', 'policy', 'diff', '@one.json', '@one.json');
  t.equal(same.code, 0);
  t.match(same.stdout, /^ok: engines take both for one policy/);
});

t.test('what was made passes, bare or as AWS prints it; every mistake is listed with its rule', async (t) => {
  const dir = folder(t);
  await create(dir, '@policy.json');
  const facts = ['--describe', '@key.json', '--grants', '@grants.json'];
  const lint = async (...args: readonly string[]) => await arca(dir, 'kms', 'policy', 'lint', ...args, '--json');
  const good = await lint('@policy.json', ...TRUST, ...facts);
  t.equal(good.code, 0, good.stderr);
  t.match(jsonOf(good), { ok: true, findings: [], unchecked: [] });
  const text = readFileSync(join(dir, 'policy.json'), 'utf8');
  writeFileSync(join(dir, 'aws.json'), JSON.stringify({ Policy: text, PolicyName: 'default' }));
  t.match(jsonOf(await lint('@aws.json', ...TRUST)), { ok: true, unchecked: [/--describe/, /--grants/] });

  const policy = JSON.parse(text);
  policy.Statement.push({ Effect: 'Allow', Principal: { AWS: ROOT_ARN }, Action: 'kms:*', Resource: '*' });
  writeFileSync(join(dir, 'bad.json'), JSON.stringify(policy));
  writeFileSync(join(dir, 'key.json'), JSON.stringify({ KeyMetadata: { ...KEY.KeyMetadata, MultiRegion: undefined } }));
  writeFileSync(join(dir, 'grants.json'), JSON.stringify({ Grants: [{}], Truncated: true }));
  const bad = await lint('@bad.json', ...TRUST, ...facts);
  t.equal(bad.code, 1);
  const rules = [jsonOf(bad).findings].flat().map((finding) => Object(finding).rule);
  t.same(rules.sort(), ['account-principal', 'grants', 'multi-region', 'use-without-attestation', 'wildcard-action']);
  const people = await arca(dir, 'kms', 'policy', 'lint', '@bad.json', ...TRUST);
  t.match(people.stdout, /error: account-principal \(statement #5\)/);
});

t.test(
  'a key may name fewer releases than the set, but not the one that is asked for, and none beyond it',
  async (t) => {
    const dir = folder(t);
    await create(dir, '@a.json', '--release', 'A');
    const lint = async (...args: readonly string[]) =>
      jsonOf(await arca(dir, 'kms', 'policy', 'lint', '@a.json', ...TRUST, ...args, '--json'));
    t.match(await lint('--release', 'A'), { ok: true });
    t.match(await lint('--release', 'B'), { ok: false, findings: [{ rule: 'release-missing' }] });
    t.match(await lint(), { ok: false, findings: [{ rule: 'release-missing' }] });
    const others = makeReleaseSet({ version: 4, network: MAINNET, entries: [engineEntry('B', WINDOW)] });
    writeFileSync(join(dir, 'set.cbor'), encodeSigned(others));
    t.match(await lint('--release', 'B'), {
      ok: false,
      findings: [{ rule: 'unknown-measurement' }, { rule: 'release-missing' }],
    });
  },
);

t.test('wrong files and options fail with cause and cure', async (t) => {
  const dir = folder(t);
  const foreign = makeReleaseSet({ version: 1, network: 'other-1', entries: [engineEntry('A')] });
  writeFileSync(join(dir, 'foreign.cbor'), encodeSigned(foreign));
  writeFileSync(join(dir, 'no-key.json'), '{}');
  writeFileSync(join(dir, 'ended.cbor'), encodeSigned(makeReleaseSet({ version: 1, network: MAINNET, entries: [] })));
  const asked = (change: readonly string[]) => [
    ...TRUST.slice(0, 2),
    ...change,
    '--admin-role',
    ADMIN_ARN,
    '--out',
    '@x',
  ];
  const cases: readonly (readonly [number, RegExp, readonly string[]])[] = [
    [2, /is no role/, asked(['--releases', '@set.cbor', '--engine-role', ROOT_ARN])],
    [2, /is no account/, asked(['--releases', '@set.cbor', '--engine-role', ENGINE_ARN, '--account', '12'])],
    [
      1,
      /foreign-principal/,
      asked(['--releases', '@set.cbor', '--engine-role', ENGINE_ARN, '--account', '9'.repeat(12)]),
    ],
    [1, /is of network other-1/, asked(['--releases', '@foreign.cbor', '--engine-role', ENGINE_ARN])],
    [1, /no-release/, asked(['--releases', '@ended.cbor', '--engine-role', ENGINE_ARN])],
    [1, /no engine of release Z[\s\S]*A, B, O/, asked([...TRUST.slice(2), '--release', 'Z'])],
  ];
  for (const [code, message, args] of cases) {
    const result = await arca(dir, 'kms', 'policy', 'create', ...args);
    t.equal(result.code, code, result.stderr);
    t.match(result.stderr, message);
  }
  await create(dir, '@policy.json');
  for (const option of ['--describe', '--grants']) {
    const result = await arca(dir, 'kms', 'policy', 'lint', '@policy.json', ...TRUST, option, '@no-key.json');
    t.match(result, { code: 1, stderr: /cure: give what `aws kms / }, option);
  }
  const garbage = await arca(dir, 'kms', 'policy', 'lint', '@charter', ...TRUST);
  t.match(garbage, { code: 1, stdout: /error: unreadable/ });
});
