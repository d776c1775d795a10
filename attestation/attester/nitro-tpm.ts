/**
 * The attester of a parent instance: a NitroTPM, asked over the kernel's device or through Amazon's own command. Both
 * give documents of the same form, which bind what boot chain and image the instance runs.
 *
 * Sources: EC2 instance attestation; the TPM 2.0 library specification. Nothing here is secret.
 */
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import { type TpmTransport, tpmDevice } from '../tpm/transport.ts';
import type { Attester } from './attester.ts';
import { type NitroTpmCommandOptions, nitroTpmCommandAttester } from './nitro-tpm-command.ts';
import { tpmNsmTransport } from './nitro-tpm-index.ts';
import { openNsm } from './nsm.ts';

/** How a NitroTPM is reached. */
export type NitroTpmOptions =
  | {
      /** `tpm`: by its device; `any`: by its device, and by Amazon's command where that fails. */
      readonly via: 'tpm' | 'any';
      /** Default: `/dev/tpmrm0`. The attester owns it from now on. */
      readonly tpm?: TpmTransport;
      /** Where Amazon's command is, for `any`. */
      readonly command?: NitroTpmCommandOptions;
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
 * const attester = openNitroTpmAttester({ via: 'any', clock: systemClock, random: systemRandom });
 */
export function openNitroTpmAttester(options: NitroTpmOptions): Attester {
  if (options.via === 'command') return nitroTpmCommandAttester(options);
  const { tpm = tpmDevice(), clock, random } = options;
  const nsm = openNsm(tpmNsmTransport({ tpm, clock, random }), 'nsm');
  const direct: Attester = { kind: 'nitro-tpm', attest: nsm.attest, close: nsm.close };
  return options.via === 'tpm' ? direct : firstThatWorks(direct, nitroTpmCommandAttester(options.command));
}

/** Asks the one that worked last first. A field that is too long, or an abort, is no reason to ask the other. */
function firstThatWorks(direct: Attester, command: Attester): Attester {
  let order = [direct, command];
  return {
    kind: 'nitro-tpm',
    attest: async (fields, signal) => {
      const [first = direct, second = command] = order;
      try {
        return await first.attest(fields, signal);
      } catch (error) {
        if (isKmsError(error, 'REQUEST_INVALID') || isKmsError(error, 'CANCELLED')) throw error;
        const document = await second.attest(fields, signal).catch((other: unknown) => {
          throw isKmsError(other, 'CANCELLED') ? other : bothFailed(error, other);
        });
        order = [second, first];
        return document;
      }
    },
    close: () => {
      direct.close();
      command.close();
    },
  };
}

function bothFailed(first: unknown, second: unknown): KmsError {
  const said = [first, second].map((error) => (error instanceof Error ? error.message : 'unknown'));
  return new KmsError('UNAVAILABLE', `no attestation of this instance: ${said.join('; ')}`, {}, first);
}
