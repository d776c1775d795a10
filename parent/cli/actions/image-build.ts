/** What `arca image build` does. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { packageVersion } from '../../../common/package-version.ts';
import { buildImage } from '../../../images/build/build-image.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { writeNewFile } from '../governance/object-files.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** `arca image build`. */
export async function runBuild(
  options: { readonly out: string; readonly testImage?: true | undefined; readonly force?: true | undefined },
  output: Output,
): Promise<void> {
  const built = await buildImage({
    root: ROOT,
    kind: options.testImage ? 'test' : 'production',
    version: packageVersion(),
    sourceDateEpoch: sourceDateEpoch(),
    say: (line) => output.note(line),
  });
  await mkdir(options.out, { recursive: true });
  const { image, registers, manifest, sbom } = built;
  const files: readonly (readonly [string, Uint8Array | string])[] = [
    ['engine.eif', image],
    ['pcr.json', json(registers)],
    ['sbom.json', json(sbom)],
    ['manifest.json', json(manifest)],
  ];
  for (const [name, data] of files) await writeNewFile(join(options.out, name), data, options.force === true);
  for (const line of built.otherCompilers) output.warn(`this image has other registers than everybody's: ${line}`);
  const { sizeBytes, sha256 } = manifest.image;
  output.result(
    { out: options.out, kind: manifest.kind, sizeBytes, sha256, registers, otherCompilers: built.otherCompilers },
    [
      `${join(options.out, 'engine.eif')}: ${sizeBytes} bytes, sha256 ${sha256}`,
      ...Object.entries(registers).map(([name, value]) => `  ${name}  ${value}`),
    ].join('\n'),
  );
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

/** The time that outputs tell, by the convention of reproducible-builds.org; 1970 if nobody gives one. */
function sourceDateEpoch(): number {
  const { SOURCE_DATE_EPOCH: text = '0' } = process.env;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw failure('REQUEST_INVALID', 'SOURCE_DATE_EPOCH is no number of seconds', 'unset it, or give seconds since 1970');
}
