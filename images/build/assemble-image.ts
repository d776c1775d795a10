/**
 * Puts an image together from a kernel and the files of two RAM disks. The same parts give the same bytes. Spec:
 * docs/formats/enclave-image.md.
 */
import type { CpioEntry } from '../cpio/read-cpio.ts';
import { writeCpio } from '../cpio/write-cpio.ts';
import { writeImage } from '../eif/write-image.ts';

/** What an image is put together from. */
export interface AssemblyParts {
  readonly kernel: Uint8Array;
  /** The first is in PCR1 and PCR0, the others in PCR2 and PCR0. */
  readonly disks: readonly (readonly CpioEntry[])[];
  readonly name: string;
  readonly version: string;
  readonly kernelVersion: string;
  /** What the metadata says about when; it is measured by nobody. */
  readonly sourceDateEpoch: number;
}

/**
 * The command line of every image, as AWS's own tool writes it. Init compares it with what the kernel got, since
 * registers do not say where it ends.
 */
export const COMMAND_LINE =
  'reboot=k panic=30 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd random.trust_cpu=on';

/** As AWS's tool writes; whoever starts an enclave says what it gets. */
const DEFAULT_MEMORY_BYTES = 1024 * 1024 * 1024;
const DEFAULT_CPUS = 2;

/** See the file comment. */
export function assembleImage(parts: AssemblyParts): Uint8Array {
  const { kernel, disks } = parts;
  return writeImage({
    architecture: 'x86_64',
    defaultMemoryBytes: DEFAULT_MEMORY_BYTES,
    defaultCpus: DEFAULT_CPUS,
    sections: [
      { kind: 'kernel', data: kernel },
      { kind: 'cmdline', data: new TextEncoder().encode(COMMAND_LINE) },
      { kind: 'metadata', data: new TextEncoder().encode(metadata(parts)) },
      ...disks.map((entries) => ({ kind: 'ramdisk' as const, data: writeCpio(entries) })),
    ],
  });
}

/** Has the fields of AWS's tool, since readers of other makers ask for them. */
function metadata({ name, version, kernelVersion, sourceDateEpoch }: AssemblyParts): string {
  return JSON.stringify({
    ImageName: name,
    ImageVersion: version,
    BuildMetadata: {
      BuildTime: new Date(sourceDateEpoch * 1000).toISOString(),
      BuildTool: 'arca',
      BuildToolVersion: version,
      OperatingSystem: 'Linux',
      KernelVersion: kernelVersion,
    },
    DockerInfo: {},
    CustomMetadata: {},
  });
}
