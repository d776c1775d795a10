/**
 * The start of a test image's engine, by `enclave/main-test-image.ts` in a machine and by tests as a process of this one. It
 * names developer root, insecure operations and test parameters: no production program reaches it.
 */
import type { NsmTransport } from '../../attestation/attester/attester.ts';
import { openNsm } from '../../attestation/attester/nsm.ts';
import { streamTransport } from '../../attestation/developer/nsm-link.ts';
import { withSignedDocuments } from '../../attestation/developer/register-signer.ts';
import { readDeveloperAnchor } from '../../attestation/node/node-files.ts';
import { PARENT_PORT } from '../../common/enclave-boot.ts';
import type { PreparedService } from '../../common/service-process.ts';
import { operatorTrusted } from '../authorization.ts';
import { type BootOptions, boot } from './boot.ts';
import { startBooted } from './start-booted.ts';

const SIGNER_WITHIN_MS = 10_000;

/**
 * Boots a test image and returns what starts its engine.
 *
 * @param device - Security module whose registers are shown, in documents that the parent's signer signs.
 * @throws KmsError as `boot`; `UNAVAILABLE` without a signer.
 */
export async function prepareTestImage(
  device: NsmTransport,
  options: Omit<BootOptions, 'image'>,
): Promise<PreparedService> {
  const booted = await boot({ image: 'test', ...options });
  const signer = await options.parent.dial(PARENT_PORT.testNsm, AbortSignal.timeout(SIGNER_WITHIN_MS));
  const { authorities = '' } = booted.document.developer ?? {};
  const start: PreparedService['start'] = async () =>
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
}
