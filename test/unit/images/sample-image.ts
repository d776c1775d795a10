/** A small image of every part that one has, for tests that look at images and do not boot them. */
import type { ImageParts } from '../../../images/eif/write-image.ts';

/** The bytes of a text. */
export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

/** What {@link writeImage} takes. */
export const SAMPLE_PARTS: ImageParts = {
  architecture: 'x86_64',
  defaultMemoryBytes: 1_073_741_824,
  defaultCpus: 2,
  sections: [
    { kind: 'kernel', data: bytes('a kernel') },
    { kind: 'cmdline', data: bytes('reboot=k panic=30') },
    { kind: 'metadata', data: bytes('{"ImageName":"test"}') },
    { kind: 'ramdisk', data: bytes('the first disk') },
    { kind: 'ramdisk', data: bytes('the second disk') },
  ],
};
