/** `manifest.json` of an image: every file in it, its digest, and where it comes from. */
import { COMMAND_LINE } from './assemble-image.ts';
import { sha256 } from './digest.ts';
import type { ImageKind } from './engine-files.ts';
import type { FileOrigin, ImageFile } from './image-files.ts';
import { KERNEL_PART } from './parts.ts';
import type { Toolchain } from './toolchain.ts';

/** What a manifest is written from. */
export interface ManifestFacts {
  readonly name: string;
  readonly version: string;
  readonly kind: ImageKind;
  readonly sourceDateEpoch: number;
  readonly toolchain: Toolchain;
  readonly kernel: Uint8Array;
  readonly disks: readonly (readonly ImageFile[])[];
  readonly image: Uint8Array;
  readonly registers: Readonly<Record<string, string>>;
}

/** A file, by digest. */
interface ManifestFile {
  readonly path: string;
  readonly executable: boolean;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly from: FileOrigin;
}

/** The manifest. */
export interface ImageManifest {
  readonly format: 1;
  readonly name: string;
  readonly version: string;
  readonly kind: ImageKind;
  readonly sourceDateEpoch: number;
  readonly image: { readonly sizeBytes: number; readonly sha256: string };
  readonly registers: Readonly<Record<string, string>>;
  readonly toolchain: Toolchain;
  readonly commandLine: string;
  readonly kernel: { readonly release: string; readonly sha256: string; readonly from: FileOrigin };
  readonly ramdisks: readonly (readonly ManifestFile[])[];
}

/** Returns the manifest; files stand in the order of their paths. */
export function imageManifest(facts: ManifestFacts): ImageManifest {
  const { name, version, kind, sourceDateEpoch, toolchain, kernel, disks, image, registers } = facts;
  const { source, release } = KERNEL_PART;
  return {
    format: 1,
    name,
    version,
    kind,
    sourceDateEpoch,
    image: { sizeBytes: image.length, sha256: sha256(image) },
    registers,
    toolchain,
    commandLine: COMMAND_LINE,
    kernel: {
      release,
      sha256: sha256(kernel),
      from: { kind: 'deb', name: source.name, version: source.version, sha256: source.sha256 },
    },
    ramdisks: disks.map((files) => files.map(describe).sort((a, b) => (a.path < b.path ? -1 : 1))),
  };
}

const describe = ({ path, executable, data, origin }: ImageFile): ManifestFile => ({
  path,
  executable,
  sizeBytes: data.length,
  sha256: sha256(data),
  from: origin,
});
