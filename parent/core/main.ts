/**
 * The Core of a production node: attested by the instance's NitroTPM under the AWS Nitro root; no insecure RPC, and an
 * engine that is not in developer mode.
 */
import { openNitroTpmAttester } from '../../attestation/attester/nitro-tpm.ts';
import { AWS_NITRO_ROOT } from '../../attestation/document/index.ts';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { runServiceProcess } from '../../common/service-process.ts';
import { startCoreService } from './process.ts';

await runServiceProcess(
  'core',
  false,
  startCoreService({
    developerMode: false,
    anchor: () => AWS_NITRO_ROOT,
    attester: () => openNitroTpmAttester({ via: 'any', clock: systemClock, random: systemRandom }),
  }),
);
