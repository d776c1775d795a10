/** What `arca image build` does. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { packageVersion } from '../../../common/package-version.ts';
import { buildImage } from '../../../images/build/build-image.ts';
import { runTool } from '../../../images/build/run-tool.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { writeNewFile } from '../governance/object-files.ts';

/** What a build writes. */
const NAMES = { image: 'engine.eif', registers: 'pcr.json', sbom: 'sbom.json', manifest: 'manifest.json' } as const;
const ROOT = resolve(import.meta.dirname, '../../..');

/** `arca image build`. */
export async function runBuild(
  options: { readonly out: string; readonly testImage?: true | undefined; readonly force?: true | undefined },
  output: Output,
): Promise<void> {
  if (options.force !== true) requireEmpty(options.out);
  const epoch = sourceDateEpoch();
  output.note('native parts: built anew if their sources or the compiler changed');
  await runTool(nativeScript(), []);
  const built = await buildImage({
    root: ROOT,
    kind: options.testImage ? 'test' : 'production',
    version: packageVersion(),
    sourceDateEpoch: epoch,
    say: (line) => output.note(line),
  });
  await mkdir(options.out, { recursive: true });
  const { image, registers, manifest, sbom } = built;
  const files: readonly (readonly [string, Uint8Array | string])[] = [
    [NAMES.image, image],
    [NAMES.registers, json(registers)],
    [NAMES.sbom, json(sbom)],
    [NAMES.manifest, json(manifest)],
  ];
  for (const [name, data] of files) await writeNewFile(join(options.out, name), data, options.force === true);
  if (options.testImage) output.warn('a test image believes a developer root: peers of a network refuse it');
  for (const line of built.otherCompilers) output.warn(`this image has other registers than everybody's: ${line}`);
  const { sizeBytes, sha256 } = manifest.image;
  output.result(
    { out: options.out, kind: manifest.kind, sizeBytes, sha256, registers, otherCompilers: built.otherCompilers },
    [
      `${join(options.out, NAMES.image)}: ${sizeBytes} bytes, sha256 ${sha256}`,
      ...Object.entries(registers).map(([name, value]) => `  ${name}  ${value}`),
    ].join('\n'),
  );
}

/** An installed package has no sources to build from. */
function nativeScript(): string {
  const script = join(ROOT, 'scripts/build-native');
  if (existsSync(script)) return script;
  throw failure(
    'PRECONDITION_FAILED',
    'an image is built from a clone, and this is no clone',
    'git clone arca, and there again',
  );
}

/** Told before the work and not after it. */
function requireEmpty(folder: string): void {
  const there = Object.values(NAMES).filter((name) => existsSync(join(folder, name)));
  if (there.length === 0) return;
  throw failure('ALREADY_EXISTS', `${folder} has ${there.join(', ')} already`, 'choose another --out, or give --force');
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

/** The time that outputs tell, by the convention of reproducible-builds.org; 1970 if nobody gives one. */
function sourceDateEpoch(): number {
  const { SOURCE_DATE_EPOCH: text = '0' } = process.env;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw failure('REQUEST_INVALID', 'SOURCE_DATE_EPOCH is no number of seconds', 'unset it, or give seconds since 1970');
}
