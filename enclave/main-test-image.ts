/**
 * The engine of a test image: as the production image's, but for the developer root that the boot document names, emulators
 * of AWS, and documents that a software security module of the parent signs over the registers of this machine's own.
 *
 * No release set outside of tests lists such an image, and its documents verify under no root but the one that it was told.
 */
import { runService } from '../common/service-process.ts';
import { openNsmDevice, vsockConnect, vsockListen } from '../native/nitro/index.ts';
import { BOOT_FOLDER, openLinkOfInit } from './boot/boot-folder.ts';
import { writeExitReason } from './boot/last-words.ts';
import { prepareTestImage } from './boot/start-test-image.ts';

await runService(
  'engine',
  async () => {
    const device = openNsmDevice();
    const parent = await openLinkOfInit({ vsockConnect, vsockListen });
    return await prepareTestImage(device, { parent, folder: BOOT_FOLDER });
  },
  (error) => writeExitReason(BOOT_FOLDER, error),
);
