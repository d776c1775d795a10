/**
 * The engine of a test image: as the production image's, but for the developer root that the boot document names, emulators
 * of AWS, and documents that a software security module of the parent signs over the registers of this machine's own.
 *
 * This file and the other mains are the only ones that name trust anchor, keychain and insecure operations. No release set
 * outside of tests lists such an image, and its documents verify under no root but the one that it was told.
 */
import { openNsm } from '../attestation/attester/nsm.ts';
import { streamTransport } from '../attestation/developer/nsm-link.ts';
import { withSignedDocuments } from '../attestation/developer/register-signer.ts';
import { readDeveloperAnchor } from '../attestation/node/node-files.ts';
import { PARENT_PORT } from '../common/enclave-boot.ts';
import { runService } from '../common/service-process.ts';
import { openNsmDevice, vsockConnect, vsockListen } from '../native/nitro/index.ts';
import { operatorTrusted } from './authorization.ts';
import { boot } from './boot/boot.ts';
import { BOOT_FOLDER, openLinkOfInit } from './boot/boot-folder.ts';
import { writeExitReason } from './boot/last-words.ts';
import { startBooted } from './boot/start-booted.ts';

const SIGNER_WITHIN_MS = 10_000;

await runService(
  'engine',
  async () => {
    const device = openNsmDevice();
    const parent = await openLinkOfInit({ vsockConnect, vsockListen });
    const booted = await boot({ image: 'test', parent, folder: BOOT_FOLDER });
    const signer = await parent.dial(PARENT_PORT.testNsm, AbortSignal.timeout(SIGNER_WITHIN_MS));
    const { authorities = '' } = booted.document.developer ?? {};
    const start = async () =>
      startBooted(booted, {
        developerMode: true,
        insecureOperations: true,
        testParameters: true,
        policy: operatorTrusted,
        nsm: openNsm(withSignedDocuments(device, streamTransport(signer)), 'developer'),
        anchor: await readDeveloperAnchor(booted.config),
        ca: authorities === '' ? undefined : [authorities],
        makeDefaultEpoch: true,
      });
    return { config: booted.config, log: booted.log, start };
  },
  (error) => writeExitReason(BOOT_FOLDER, error),
);
