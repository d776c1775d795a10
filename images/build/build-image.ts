/**
 * Builds an engine's image from a checkout: the image, its registers, what is in it and where that comes from. Needs no
 * root and no container. The same checkout gives the same bytes, elsewhere, later, and for somebody else.
 */
import { toHex } from '../../common/bytes.ts';
import { measureImage } from '../eif/measure-image.ts';
import { readImage } from '../eif/read-image.ts';
import { kernel } from '../kernel/build-kernel.ts';
import { assembleImage } from './assemble-image.ts';
import { engineFiles, type ImageKind, MOUNT_POINTS } from './engine-files.ts';
import { diskEntries } from './image-files.ts';
import { type ImageManifest, imageManifest } from './manifest.ts';
import { KERNEL_PART } from './parts.ts';
import { billOfMaterials } from './sbom.ts';
import { otherCompilers, readToolchain } from './toolchain.ts';

/** What is built, and of what. */
export interface BuildOptions {
  /** The checkout: packages installed, native parts built. */
  readonly root: string;
  readonly kind: ImageKind;
  readonly version: string;
  /** Seconds since 1970 that the metadata and the bill of materials tell. */
  readonly sourceDateEpoch: number;
  /** Told before what takes long. */
  readonly say: (line: string) => void;
}

/** What comes out; each text is a file. */
export interface BuiltImage {
  readonly image: Uint8Array;
  /** `pcr.json`: PCR0, PCR1 and PCR2. */
  readonly registers: Readonly<Record<string, string>>;
  readonly manifest: ImageManifest;
  /** `sbom.json`, CycloneDX. */
  readonly sbom: object;
  /** Compilers that are not the pinned ones: the image works, and everybody else gets other registers. */
  readonly otherCompilers: readonly string[];
}

/** See the file comment. */
export async function buildImage(options: BuildOptions): Promise<BuiltImage> {
  const { root, kind, version, sourceDateEpoch, say } = options;
  const toolchain = await readToolchain();
  const linux = await kernel(say);
  const { init, app, bundle } = await engineFiles(root, kind, version);
  const name = kind === 'production' ? 'arca-engine' : 'arca-engine-test';
  const image = assembleImage({
    kernel: linux,
    disks: [diskEntries([init], MOUNT_POINTS), diskEntries(app)],
    name,
    version,
    kernelVersion: KERNEL_PART.release,
    sourceDateEpoch,
  });
  const measured = measureImage(readImage(image));
  const registers = Object.fromEntries([...measured].map(([index, value]) => [`PCR${index}`, toHex(value)]));
  const facts = {
    name,
    version,
    kind,
    sourceDateEpoch,
    toolchain,
    kernel: linux,
    disks: [[init], app],
    image,
    registers,
  };
  return {
    image,
    registers,
    manifest: imageManifest(facts),
    sbom: await billOfMaterials({ root, name, version, sourceDateEpoch, bundle, image }),
    otherCompilers: otherCompilers(toolchain),
  };
}
