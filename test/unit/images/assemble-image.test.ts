/** An image put together from parts: the same bytes each time, the registers of the rules, and what init expects of it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { assembleImage, COMMAND_LINE } from '../../../images/build/assemble-image.ts';
import { MOUNT_POINTS } from '../../../images/build/engine-files.ts';
import { diskEntries, type ImageFile } from '../../../images/build/image-files.ts';
import { imageManifest } from '../../../images/build/manifest.ts';
import { readCpio } from '../../../images/cpio/read-cpio.ts';
import { ramdisksOf, sectionOf } from '../../../images/eif/format.ts';
import { measureImage } from '../../../images/eif/measure-image.ts';
import { readImage } from '../../../images/eif/read-image.ts';
import { present } from '../../helpers/present.ts';

const ROOT = join(import.meta.dirname, '../../..');
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const file = (path: string, content: string, executable = false): ImageFile => ({
  path,
  executable,
  data: bytes(content),
  origin: { kind: 'source', name: 'a test', version: '1.0.0' },
});
const APP = [file('usr/bin/node', 'node', true), file('app/engine.mjs', 'run();')];
const PARTS = { kernel: bytes('kernel'), name: 'arca-engine', version: '1.0.0', kernelVersion: '6.12.95' };
const build = (app: readonly ImageFile[] = APP, sourceDateEpoch = 0): Uint8Array =>
  assembleImage({
    ...PARTS,
    disks: [diskEntries([file('init', 'init', true)], MOUNT_POINTS), diskEntries(app)],
    sourceDateEpoch,
  });

t.test('the same parts in any order give the same bytes', async (t) => {
  t.equal(toHex(build([...APP].reverse())), toHex(build()));
});

t.test('the RAM disks hold the files, the folders above them and the mount points', async (t) => {
  const disks = ramdisksOf(readImage(build())).map((disk) =>
    readCpio(disk).map(({ path, mode }) => `${mode.toString(8)} ${path}`),
  );
  t.same(disks, [
    ['40755 dev', '100755 init', '40755 proc', '40755 run', '40755 sys', '40755 tmp'],
    ['40755 app', '100644 app/engine.mjs', '40755 usr', '40755 usr/bin', '100755 usr/bin/node'],
  ]);
});

t.test('what metadata tells is measured by no register', async (t) => {
  const [first, later] = [readImage(build()), readImage(build(APP, 1_800_000_000))];
  t.not(toHex(present(sectionOf(later, 'metadata'), 'it')), toHex(present(sectionOf(first, 'metadata'), 'it')));
  t.same(measureImage(later), measureImage(first));
  const metadata: unknown = JSON.parse(Buffer.from(present(sectionOf(later, 'metadata'), 'it')).toString());
  t.match(metadata, { ImageName: 'arca-engine', BuildMetadata: { BuildTime: '2027-01-15T08:00:00.000Z' } });
});

t.test('one byte of the engine moves PCR0 and PCR2 alone', async (t) => {
  const [ours, theirs] = [APP, [file('usr/bin/node', 'node', true), file('app/engine.mjs', 'rum();')]].map((app) =>
    measureImage(readImage(build(app))),
  );
  const differ = [0, 1, 2].filter(
    (index) => toHex(present(ours?.get(index), '')) !== toHex(present(theirs?.get(index), '')),
  );
  t.same(differ, [0, 2]);
});

t.test('init expects the command line that is measured', async (t) => {
  const source = readFileSync(join(ROOT, 'native/init/src/init.c'), 'utf8');
  const [, literals = ''] = /CMDLINE\[\] =([^;]*);/.exec(source) ?? [];
  const compiled = [...literals.matchAll(/"([^"]*)"/g)].map(([, part]) => part).join('');
  t.equal(compiled, COMMAND_LINE);
  t.match(source, /"\/usr\/bin\/node".*"\/app\/engine\.mjs"/, 'and the paths of the engine');
});

t.test('the manifest names every file by digest and origin', async (t) => {
  const toolchain = { rustc: 'r', 'c++': 'c', ld: 'l', libc: 'g' };
  const facts = { ...PARTS, kind: 'production' as const, sourceDateEpoch: 0, toolchain, registers: { PCR0: '00' } };
  const { ramdisks, commandLine } = imageManifest({ ...facts, disks: [[], APP], image: build() });
  t.equal(commandLine, COMMAND_LINE);
  const [first] = present(ramdisks[1], 'the second disk');
  t.match(first, { path: 'app/engine.mjs', sizeBytes: 6, executable: false, from: { kind: 'source', name: 'a test' } });
  t.equal(present(first, 'it').sha256, createHash('sha256').update('run();').digest('hex'));
});
