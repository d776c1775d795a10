/** `arca image`: what is in an image, what it measures, who signed it, and in what two differ. */
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { encodeCanonical } from '../../../attestation/cbor.ts';
import { toHex } from '../../../common/bytes.ts';
import { sectionOf } from '../../../images/eif/format.ts';
import { measureImage } from '../../../images/eif/measure-image.ts';
import { readImage } from '../../../images/eif/read-image.ts';
import { writeImage } from '../../../images/eif/write-image.ts';
import { runArca } from '../../helpers/cli-script.ts';
import { present } from '../../helpers/present.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';
import { makeRamdisk, type RamdiskFile } from '../images/make-ramdisk.ts';
import { arca, jsonOf } from './governed-node.ts';

const text = (content: string): Uint8Array => new Uint8Array(Buffer.from(content));
const APP: readonly RamdiskFile[] = [
  { path: 'app/engine.js', content: 'run();' },
  { path: 'app/ca.pem', content: 'roots' },
];
const HOUR_MS = 3_600_000;

function image(app: readonly RamdiskFile[] = APP): Uint8Array {
  return writeImage({
    architecture: 'x86_64',
    defaultMemoryBytes: 2 ** 30,
    defaultCpus: 2,
    sections: [
      { kind: 'kernel', data: text('kernel') },
      { kind: 'cmdline', data: text('panic=30') },
      { kind: 'metadata', data: text('{"ImageName":"arca"}') },
      { kind: 'ramdisk', data: makeRamdisk([{ path: 'init', mode: 0o100755, content: 'init' }]) },
      { kind: 'ramdisk', data: makeRamdisk(app) },
    ],
  });
}

/** A folder with two images, a signer of an hour, one that has expired, and one of another key. */
function folder(t: Test): string {
  const dir = tempDir(t);
  const put = (name: string, content: Uint8Array | string): void => writeFileSync(join(dir, name), content);
  put('a.eif', image());
  put('b.eif', image([{ path: 'app/engine.js', content: 'steal();' }, ...APP.slice(1)]));
  const ca = makeTestCa();
  const signers = {
    signer: ca.issue({ subject: 'release signer', curve: 'P-384' }),
    other: ca.issue({ subject: 'other', curve: 'P-384' }),
    ended: ca.issue({ subject: 'ended', notBeforeMs: Date.now() - 2 * HOUR_MS, notAfterMs: Date.now() - HOUR_MS }),
    odd: ca.issue({ subject: 'odd', curve: 'secp256k1' }),
  };
  for (const [name, { cert, key }] of Object.entries(signers)) {
    put(`${name}.pem`, cert);
    put(`${name}-key.pem`, key);
  }
  return dir;
}

const signArgs = (file: string, signer: string, out: string) =>
  ['image', 'sign', file, '--key', `@${signer}-key.pem`, '--certificate', `@${signer}.pem`, '--out', out] as const;

t.test('shows sections and files, and the registers to come', async (t) => {
  const dir = folder(t);
  const shown = await arca(dir, 'image', 'inspect', '@a.eif');
  t.equal(shown.code, 0);
  t.match(shown.stdout, /version 4, x86_64, not signed/);
  t.match(shown.stdout, /cmdline .*panic=30/);
  t.match(shown.stdout, /100755 4 init/);
  t.match(shown.stdout, /100644 6 app\/engine\.js/);
  const { PCR0, PCR1, PCR2 } = jsonOf(await arca(dir, 'image', 'measure', '@a.eif', '--json'));
  const expected = measureImage(readImage(image()));
  t.same(
    [PCR0, PCR1, PCR2],
    [0, 1, 2].map((index) => toHex(present(expected.get(index), 'register'))),
  );
});

t.test('signs an image, which verifies with its registers and no others', async (t) => {
  const dir = folder(t);
  t.equal((await arca(dir, ...signArgs('@a.eif', 'signer', '@signed.eif'))).code, 0);
  t.equal((await arca(dir, ...signArgs('@a.eif', 'signer', '@signed.eif'))).code, 1, 'never over a file');
  const measured = await arca(dir, 'image', 'measure', '@signed.eif', '--json');
  writeFileSync(join(dir, 'pcr.json'), measured.stdout);
  const ahead = jsonOf(await arca(dir, 'image', 'measure', '@a.eif', '--certificate', '@signer.pem', '--json'));
  t.same(jsonOf(measured), ahead, 'PCR8 was known before');
  const verified = await arca(dir, 'image', 'verify', '@signed.eif', '--pcrs', '@pcr.json');
  t.equal(verified.code, 0, verified.stdout);
  t.match(verified.stdout, /signed by CN=release signer/);
  const { PCR0, PCR8 } = jsonOf(measured);
  writeFileSync(join(dir, 'wrong.json'), JSON.stringify({ PCR0: '00'.repeat(48), PCR8 }));
  const refused = await arca(dir, 'image', 'verify', '@signed.eif', '--pcrs', '@wrong.json');
  t.equal(refused.code, 1);
  t.match(refused.stdout, `PCR0 should be ${'00'.repeat(48)} and is ${PCR0}`);
});

t.test('signs by a command that reaches a key elsewhere', async (t) => {
  const dir = folder(t);
  const signing = ['image', 'sign', '@a.eif', '--certificate', '@signer.pem'] as const;
  // openssl stands for a key store: a digest on its input, DER on its output.
  const openssl = (key: string): string => `openssl pkeyutl -sign -inkey '${join(dir, key)}'`;
  const signed = await arca(dir, ...signing, '--sign-with', openssl('signer-key.pem'), '--out', '@signed.eif');
  t.equal(signed.code, 0, signed.stderr);
  t.equal((await arca(dir, 'image', 'verify', '@signed.eif')).code, 0);
  // Tools of AWS and of PKCS#11 want names of files.
  const named = `${openssl('signer-key.pem')} -in /dev/stdin -out /dev/stdout`;
  const again = await arca(dir, ...signing, '--sign-with', named, '--out', '@again.eif');
  t.equal(again.code, 0, again.stderr);
  for (const [why, command, message] of [
    ['another key', openssl('other-key.pem'), /not made by the key of the certificate/],
    ['no signature', 'echo none', /96 bytes, or DER/],
    ['nothing', 'true', /it wrote nothing/],
    ['too much', 'head -c 5000 /dev/zero', /more than 4096 bytes/],
    ['a failure', 'echo no such key >&2; exit 3', /exit code 3: no such key/],
  ] as const) {
    const refused = await arca(dir, ...signing, '--sign-with', command, '--out', '@refused.eif');
    t.not(refused.code, 0, why);
    t.match(refused.stderr, message, why);
    t.notOk(existsSync(join(dir, 'refused.eif')), `${why}: nothing is written`);
  }
  const both = await arca(dir, ...signing, '--key', '@signer-key.pem', '--sign-with', 'true', '--out', '@x.eif');
  t.match(both.stderr, /needs --key or --sign-with/);
  t.match((await arca(dir, ...signing, '--out', '@x.eif')).stderr, /needs --key or --sign-with/);
});

t.test('a signature of another image, key or time does not count', async (t) => {
  const dir = folder(t);
  t.match((await arca(dir, 'image', 'verify', '@a.eif')).stdout, /it is not signed/);
  const crossed = ['image', 'sign', '@a.eif', '--key', '@other-key.pem', '--certificate', '@signer.pem'];
  t.match((await arca(dir, ...crossed, '--out', '@x.eif')).stderr, /not that of the certificate/);
  t.match((await arca(dir, ...signArgs('@a.eif', 'odd', '@x.eif'))).stderr, /P-256, P-384 or P-521/);
  const late = await arca(dir, ...signArgs('@a.eif', 'ended', '@ended.eif'));
  t.match(late.stderr, /not valid now/);
  t.match((await arca(dir, 'image', 'verify', '@ended.eif')).stdout, /certificate expired/);

  t.equal((await arca(dir, ...signArgs('@a.eif', 'signer', '@signed.eif'))).code, 0);
  const signed = readImage(readFileSync(join(dir, 'signed.eif')));
  const other = readImage(image([{ path: 'app/engine.js', content: 'steal();' }]));
  const data = present(sectionOf(signed, 'signature'), 'signature');
  writeFileSync(
    join(dir, 'moved.eif'),
    writeImage({ ...other, sections: [...other.sections, { kind: 'signature', data }] }),
  );
  t.match((await arca(dir, 'image', 'verify', '@moved.eif')).stdout, /it signs another image/);

  const certificate = new X509Certificate(readFileSync(join(dir, 'other.pem'))).toString();
  const forged = Buffer.from(data).toString('hex').replace(pemHex(dir, 'signer.pem'), bytesHex(certificate));
  const section = { kind: 'signature', data: new Uint8Array(Buffer.from(forged, 'hex')) } as const;
  const unsigned = signed.sections.filter(({ kind }) => kind !== 'signature');
  writeFileSync(join(dir, 'forged.eif'), writeImage({ ...signed, sections: [...unsigned, section] }));
  t.match((await arca(dir, 'image', 'verify', '@forged.eif')).stdout, /has not made it/);

  for (const bytes of [text('no CBOR'), encodeCanonical([]), encodeCanonical([new Map([['signature', [1]]])])]) {
    const malformed = { kind: 'signature', data: bytes } as const;
    writeFileSync(join(dir, 'bad.eif'), writeImage({ ...signed, sections: [...unsigned, malformed] }));
    const { code, stderr } = await arca(dir, 'image', 'verify', '@bad.eif');
    t.equal(code, 1);
    t.match(stderr, /signature section is malformed|not strict CBOR/);
  }
});

t.test('names each file in which two images differ, and the registers that follow', async (t) => {
  const dir = folder(t);
  const differing = await arca(dir, 'image', 'diff', '@a.eif', '@b.eif', '--json');
  t.equal(differing.code, 1);
  const { measuresSame, registers, differences } = jsonOf(differing);
  t.equal(measuresSame, false);
  t.same(registers, [0, 2]);
  t.match(differences, [{ what: 'ramdisk 1: app/engine.js', how: 'other content' }]);
  writeFileSync(join(dir, 'c.eif'), image([...APP].reverse()));
  t.match((await arca(dir, 'image', 'diff', '@a.eif', '@c.eif')).stdout, /ramdisk 1: other order/);
  await arca(dir, ...signArgs('@a.eif', 'signer', '@signed.eif'));
  const signed = await arca(dir, 'image', 'diff', '@a.eif', '@signed.eif');
  t.equal(signed.code, 0, 'a signature is not measured by registers 0 to 2');
  t.match(signed.stdout, /signature: only in the second/);
});

t.test('what is no image is refused by name', async (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'cut.eif'), image().subarray(0, 700));
  t.match((await arca(dir, 'image', 'inspect', '@cut.eif')).stderr, /section \d of \d+ bytes is cut/);
  t.match((await arca(dir, 'image', 'measure', '@none.eif')).stderr, /no file/);
  t.match((await arca(dir, 'image', 'measure', '@signer.pem')).stderr, /does not begin with ".eif"|header alone/);
});

function pemHex(dir: string, file: string): string {
  return bytesHex(new X509Certificate(readFileSync(join(dir, file))).toString());
}

/** A text as a list of numbers in CBOR. */
const bytesHex = (content: string): string => toHex(encodeCanonical([...Buffer.from(content)]));

t.test('a build that cannot end well does not begin', async (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'engine.eif'), image());
  const over = await arca(dir, 'image', 'build', '--out', '@.');
  t.equal(over.code, 1);
  t.match(over.stderr, /has engine\.eif already/);
  t.same(new Uint8Array(readFileSync(join(dir, 'engine.eif'))), image(), 'it is as it was');
  const env = { ...process.env, SOURCE_DATE_EPOCH: 'yesterday' };
  const odd = await runArca(['image', 'build', '--out', join(dir, 'new')], env);
  t.equal(odd.code, 1);
  t.match(odd.stderr, /SOURCE_DATE_EPOCH is no number/);
});
