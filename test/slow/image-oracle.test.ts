/**
 * Enclave images against the crate of AWS's own tool (test/eif-oracle): it makes the same file from the same parts, and
 * each reads, measures and verifies what the other has signed. Needs the headers of OpenSSL.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { toHex } from '../../common/bytes.ts';
import { assembleImage, COMMAND_LINE } from '../../images/build/assemble-image.ts';
import { writeCpio } from '../../images/cpio/write-cpio.ts';
import { sectionOf } from '../../images/eif/format.ts';
import { readSignature, signatureFaults } from '../../images/eif/image-signature.ts';
import { measureImage } from '../../images/eif/measure-image.ts';
import { readImage } from '../../images/eif/read-image.ts';
import { cacheFolder } from '../helpers/load-generator.ts';
import { present } from '../helpers/present.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { makeTestCa } from '../helpers/test-ca.ts';
import { arca } from '../unit/cli/governed-node.ts';

const run = promisify(execFile);
const CRATE = join(import.meta.dirname, '../eif-oracle');

async function buildOracle(): Promise<string> {
  const lock = createHash('sha256').update(readFileSync(join(CRATE, 'Cargo.lock')));
  const target = join(cacheFolder(), 'cargo', `eif-oracle-${lock.digest('hex').slice(0, 16)}`);
  const args = ['build', '--release', '--locked', '--quiet', '--manifest-path', join(CRATE, 'Cargo.toml')];
  await run('cargo', args, { env: { ...process.env, CARGO_TARGET_DIR: target } });
  return join(target, 'release', 'arca-eif-oracle');
}

const oracle = await buildOracle();
const ask = async (...args: string[]): Promise<Record<string, unknown>> => JSON.parse((await run(oracle, args)).stdout);

const bytes = (size: number, seed: number): Uint8Array => new Uint8Array(size).map((_, i) => (i * 31 + seed) % 251);
const disks = [
  [{ path: 'init', mode: 0o100755, data: bytes(70_001, 1) }],
  [
    { path: 'app', mode: 0o040755, data: new Uint8Array() },
    { path: 'app/engine.mjs', mode: 0o100644, data: bytes(300_003, 2) },
  ],
];
const kernel = bytes(50_000, 3);
const ours = assembleImage({
  kernel,
  disks,
  name: 'arca-engine',
  version: '0.1.0',
  kernelVersion: '6.12.95',
  sourceDateEpoch: 1_800_000_000,
});
const registersOf = (image: Uint8Array, certificate?: Uint8Array): Record<string, string> =>
  Object.fromEntries([...measureImage(readImage(image), certificate)].map(([i, value]) => [`PCR${i}`, toHex(value)]));

/** The parts as files, a signer, and our image. */
function folder(t: Test) {
  const dir = join(tempDir(t), 'parts');
  mkdirSync(dir);
  const at = (name: string): string => join(dir, name);
  const { cert, key } = makeTestCa().issue({ subject: 'release signer', curve: 'P-384' });
  writeFileSync(at('kernel'), kernel);
  writeFileSync(at('metadata.json'), present(sectionOf(readImage(ours), 'metadata'), 'metadata'));
  for (const [index, entries] of disks.entries()) writeFileSync(at(`disk-${index}`), writeCpio(entries));
  writeFileSync(at('ours.eif'), ours);
  writeFileSync(at('signer.pem'), cert);
  writeFileSync(at('signer-key.pem'), key);
  const parts = [at('kernel'), COMMAND_LINE, at('metadata.json'), at('disk-0'), at('disk-1')];
  return { dir, at, parts };
}

t.test('the same parts give the same file, byte for byte, and the same registers', async (t) => {
  const { at, parts } = folder(t);
  const { registers } = await ask('build', at('theirs.eif'), ...parts);
  t.match(registers, registersOf(ours));
  const theirs = readFileSync(at('theirs.eif'));
  t.equal(theirs.length, ours.length);
  t.ok(theirs.equals(ours), 'header, sections, metadata and checksum');
});

t.test('our reader takes what their tool has signed', async (t) => {
  const { at, parts } = folder(t);
  const { registers } = await ask(
    'build',
    at('theirs.eif'),
    ...parts,
    '--sign',
    at('signer.pem'),
    at('signer-key.pem'),
  );
  const file = readFileSync(at('theirs.eif'));
  const signature = readSignature(present(sectionOf(readImage(file), 'signature'), 'a signature'));
  const measured = measureImage(readImage(file), signature.certificate.raw);
  t.same(signatureFaults(signature, present(measured.get(0), 'PCR0'), Date.now()), []);
  t.match(registers, registersOf(file, signature.certificate.raw), 'PCR8 too');
});

t.test('their reader takes what we have signed', async (t) => {
  const { dir, at } = folder(t);
  const signing = ['--key', '@signer-key.pem', '--certificate', '@signer.pem', '--out', '@signed.eif'];
  const { code, stderr } = await arca(dir, 'image', 'sign', '@ours.eif', ...signing);
  t.equal(code, 0, stderr);
  const file = readFileSync(at('signed.eif'));
  const { certificate } = readSignature(present(sectionOf(readImage(file), 'signature'), 'a signature'));
  const found = await ask('read', at('signed.eif'));
  t.match(found, {
    crcHolds: true,
    sections: 6,
    version: 4,
    metadata: { ImageName: 'arca-engine', BuildMetadata: { BuildTool: 'arca' } },
    registers: registersOf(file, certificate.raw),
    signature: { valid: true, ofThisImage: true },
  });
});

t.test('one byte more of the engine: other registers for both, and a checksum that does not hold', async (t) => {
  const { at } = folder(t);
  const damaged = Uint8Array.from(ours);
  const last = damaged.length - 5000;
  damaged[last] = (damaged[last] ?? 0) ^ 1;
  writeFileSync(at('damaged.eif'), damaged);
  const { crcHolds, registers } = await ask('read', at('damaged.eif'));
  t.equal(crcHolds, false);
  const { PCR0, PCR1, PCR2 } = registersOf(ours);
  t.match(registers, { PCR1 });
  t.notMatch(registers, { PCR0 });
  t.notMatch(registers, { PCR2 });
  t.throws(() => readImage(damaged), { code: 'REQUEST_INVALID', message: /its checksum is/ });
});
