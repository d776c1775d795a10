import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { makeDeveloperRoot, makeSigningChain } from '../../../../attestation/developer/chain.ts';
import { openDeveloperRoot } from '../../../../attestation/developer/developer-root.ts';
import { signDocument } from '../../../../attestation/developer/sign-document.ts';
import { verifyLiveDocument } from '../../../../attestation/document/index.ts';
import { systemClock } from '../../../../common/clock.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const DAY_MS = 24 * 3_600_000;
const clockAt = (nowMs: number) => ({ nowMs: () => nowMs, monotonicMs: () => nowMs });
const open = (folder: string) => openDeveloperRoot(folder, { clock: systemClock });

/** A folder with a root in it. */
async function withRoot(t: Test) {
  const folder = tempDir(t);
  const root = await open(folder);
  return { folder, root, key: join(folder, 'developer-root.key'), pem: join(folder, 'developer-root.pem') };
}

t.test('a root is made on first use, kept, and private', async (t) => {
  const folder = join(tempDir(t), 'attestation');
  const first = await open(folder);
  const second = await open(folder);
  t.strictSame(second.certificate, first.certificate, 'the same root');
  t.strictSame(second.anchor, { name: 'developer root', certificate: first.certificate });
  t.equal(statSync(folder).mode & 0o777, 0o700);
  t.equal(statSync(join(folder, 'developer-root.key')).mode & 0o777, 0o600);
  t.strictSame(readdirSync(folder).sort(), ['developer-root.key', 'developer-root.pem'], 'no drafts are left');
  const pem = readFileSync(join(folder, 'developer-root.pem'), 'utf8');
  t.notMatch(pem, /PRIVATE/, 'the public file holds no key');
  t.strictSame(new Uint8Array(new X509Certificate(pem).raw), first.certificate);
  const years = (new X509Certificate(pem).validToDate.getTime() - systemClock.nowMs()) / DAY_MS / 365;
  t.ok(years > 9.9 && years <= 10, `${years} years`);
});

t.test('documents under a kept root verify', async (t) => {
  const { folder } = await withRoot(t);
  const root = await open(folder);
  const moduleId = 'i-0123456789abcdef0-enc0123456789abcdef';
  const nowMs = systemClock.nowMs();
  const chain = makeSigningChain(root, { nowMs, moduleId });
  const pcrs = new Map([[0, new Uint8Array(48).fill(1)]]);
  const document = signDocument({ chain, platform: 'enclave', moduleId, timestampMs: nowMs, pcrs });
  t.equal((await verifyLiveDocument(document, { anchor: root.anchor, nowMs })).moduleId, moduleId);
});

t.test('processes that start at once agree on one root', async (t) => {
  const folder = tempDir(t);
  const roots = await Promise.all(Array.from({ length: 8 }, () => open(folder)));
  for (const root of roots) t.strictSame(root.certificate, roots[0]?.certificate, 'the same root');
});

t.test('a key that others can reach is refused, with the command that cures it', async (t) => {
  const { folder, key } = await withRoot(t);
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    chmodSync(key, mode);
    await t.rejects(
      open(folder),
      { code: 'STATE_INVALID', facts: { path: key, cure: `chmod 600 ${key}` } },
      mode.toString(8),
    );
  }
  chmodSync(key, 0o400);
  await open(folder);
  t.pass('less than 0600 is fine');
});

t.test('a damaged file is named, with its cure, and never quoted', async (t) => {
  const { folder, key } = await withRoot(t);
  const good = readFileSync(key, 'utf8');
  for (const [why, text] of [
    ['empty', ''],
    ['cut', good.slice(0, good.length / 2)],
    ['no certificate', good.slice(0, good.indexOf('-----BEGIN CERTIFICATE-----'))],
    ['no key', good.slice(good.indexOf('-----BEGIN CERTIFICATE-----'))],
    ['something else', '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n'],
    ['huge', `${good}${' '.repeat(100_000)}`],
  ] as const) {
    writeFileSync(key, text);
    await t.rejects(open(folder), { code: 'STATE_INVALID', facts: { path: key, cure: /remove it/ } }, why);
  }
  t.strictSame(readFileSync(key, 'utf8').length > 100_000, true, 'a damaged file is left as it is');
  rmSync(key);
  for (const start of [1, 2]) {
    await t.rejects(
      open(folder),
      { code: 'STATE_INVALID', facts: { path: key, cure: /restore it/ } },
      `start ${start}`,
    );
  }
  t.notOk(existsSync(key), 'no other root takes its place');
});

t.test('key and certificate of two roots are refused', async (t) => {
  const one = await withRoot(t);
  const two = await withRoot(t);
  const mark = '-----BEGIN CERTIFICATE-----';
  const [key, certificate] = [readFileSync(one.key, 'utf8'), readFileSync(two.key, 'utf8')];
  writeFileSync(one.key, key.slice(0, key.indexOf(mark)) + certificate.slice(certificate.indexOf(mark)));
  await t.rejects(open(one.folder), { code: 'STATE_INVALID', message: /do not belong together/ });
});

t.test('the public copy is written again when missing, and refused when it is another', async (t) => {
  const { folder, root, pem } = await withRoot(t);
  rmSync(pem);
  await open(folder);
  t.ok(existsSync(pem), 'written again');
  const other = makeDeveloperRoot({ nowMs: systemClock.nowMs() });
  writeFileSync(pem, new X509Certificate(other.certificate).toString());
  await t.rejects(open(folder), { code: 'STATE_INVALID', facts: { path: pem, cure: /remove it/ } });
  t.notSame(other.certificate, root.certificate);
});

t.test('a root that is expired, or not valid yet, is refused with its dates', async (t) => {
  const { folder } = await withRoot(t);
  const nowMs = systemClock.nowMs();
  for (const [why, at] of [
    ['expired', nowMs + 4000 * DAY_MS],
    ['not yet valid', nowMs - 3 * DAY_MS],
  ] as const) {
    const facts = { cure: /clock/, validFrom: /Z$/, validTo: /Z$/ };
    await t.rejects(openDeveloperRoot(folder, { clock: clockAt(at) }), { code: 'STATE_INVALID', facts }, why);
  }
  await openDeveloperRoot(folder, { clock: clockAt(nowMs - DAY_MS / 2) });
  t.pass('a clock that was fast by half a day at the first start does no harm');
});

t.test('a link, or a folder, in place of the key is refused', async (t) => {
  const { folder, key } = await withRoot(t);
  const other = await withRoot(t);
  rmSync(key);
  symlinkSync(other.key, key);
  await t.rejects(open(folder), { code: 'STATE_INVALID', facts: { path: key } }, 'a link');
  rmSync(key);
  mkdirSync(key, { mode: 0o700 });
  await t.rejects(open(folder), { code: 'STATE_INVALID', facts: { path: key } }, 'a folder');
});
