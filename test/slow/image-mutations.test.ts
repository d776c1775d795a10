/** The reader of enclave images survives whatever is done to one. */
import t from 'tap';
import { writeImage } from '../../images/eif/write-image.ts';
import { mutateImages } from '../unit/images/mutate-images.ts';

t.test('60,000 mutated images are refused, or are whole', async (t) => {
  const data = (size: number): Uint8Array => new Uint8Array(size).map((_, i) => i % 251);
  const image = writeImage({
    architecture: 'x86_64',
    defaultMemoryBytes: 2 ** 30,
    defaultCpus: 2,
    sections: [
      { kind: 'kernel', data: data(300) },
      { kind: 'cmdline', data: data(20) },
      { kind: 'metadata', data: data(90) },
      { kind: 'ramdisk', data: data(200) },
      { kind: 'ramdisk', data: data(100) },
      { kind: 'signature', data: data(60) },
    ],
  });
  mutateImages(image, 60_000);
  t.pass('60,000 images');
});
