/**
 * The attester of a parent instance: a NitroTPM, asked over the kernel's device or through Amazon's own command. Both
 * give documents of the same form, which bind what boot chain and image the instance runs.
 *
 * Sources: EC2 instance attestation; the TPM 2.0 library specification. Nothing here is secret.
 */
import type { Clock } from '../../common/clock.ts';
import type { RandomSource } from '../../common/random.ts';
import { type TpmTransport, tpmDevice } from '../tpm/transport.ts';
import type { Attester } from './attester.ts';
import { type NitroTpmCommandOptions, nitroTpmCommandAttester } from './nitro-tpm-command.ts';
import { tpmNsmTransport } from './nitro-tpm-index.ts';
import { openNsm } from './nsm.ts';

/** How a NitroTPM is reached. */
export type NitroTpmOptions =
  | {
      readonly via: 'tpm';
      /** Default: `/dev/tpmrm0`. The attester owns it from now on. */
      readonly tpm?: TpmTransport;
      readonly clock: Clock;
      readonly random: RandomSource;
    }
  | ({ readonly via: 'command' } & NitroTpmCommandOptions);

/**
 * Opens the attester. Nothing is asked of the TPM before the first document.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if the command's path is not absolute. Documents fail with
 * `PERMISSION_DENIED` if the device may not be used, `RESOURCE_EXHAUSTED` if the TPM has no room, and as
 * {@link Attester.attest} says.
 * @example
 * const attester = openNitroTpmAttester({ via: 'tpm', clock: systemClock, random: systemRandom });
 */
export function openNitroTpmAttester(options: NitroTpmOptions): Attester {
  if (options.via === 'command') return nitroTpmCommandAttester(options);
  const { tpm = tpmDevice(), clock, random } = options;
  const nsm = openNsm(tpmNsmTransport({ tpm, clock, random }), 'nsm');
  return { kind: 'nitro-tpm', attest: (fields, signal) => nsm.attest(fields, signal), close: () => nsm.close() };
}
