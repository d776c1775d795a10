/**
 * The engine of a production image: the AWS Nitro root, the security module of the enclave, vaults sealed under AWS KMS, no
 * insecure operation. It runs in an enclave and nowhere else: init starts it, all that it is told comes from the parent.
 *
 * This file and the other mains are the only ones that name trust anchor, keychain and insecure operations. The keychain
 * here is AWS KMS and no other: a configuration without it is refused, and nothing is read or written in clear.
 */
import { readFileSync } from 'node:fs';
import { openNsm } from '../attestation/attester/nsm.ts';
import { AWS_NITRO_ROOT } from '../attestation/document/index.ts';
import { runService } from '../common/service-process.ts';
import { openNsmDevice, vsockConnect, vsockListen } from '../native/nitro/index.ts';
import { operatorTrusted } from './authorization.ts';
import { boot } from './boot/boot.ts';
import { BOOT_FOLDER, openLinkOfInit } from './boot/boot-folder.ts';
import { writeExitReason } from './boot/last-words.ts';
import { startBooted } from './boot/start-booted.ts';

/** Amazon's own authorities and no others, a file of the image. */
const AWS_AUTHORITIES = '/etc/ssl/aws-roots.pem';

await runService(
  'engine',
  async () => {
    // First: elsewhere than in an enclave nobody is dialled.
    const nsm = openNsm(openNsmDevice(), 'nsm');
    const parent = await openLinkOfInit({ vsockConnect, vsockListen });
    const booted = await boot({ image: 'production', parent, folder: BOOT_FOLDER });
    const start = () =>
      startBooted(booted, {
        developerMode: false,
        insecureOperations: false,
        testParameters: false,
        policy: operatorTrusted,
        nsm,
        anchor: AWS_NITRO_ROOT,
        ca: [readFileSync(AWS_AUTHORITIES, 'utf8')],
        makeDefaultEpoch: false,
      });
    return { config: booted.config, log: booted.log, start };
  },
  (error) => writeExitReason(BOOT_FOLDER, error),
);
