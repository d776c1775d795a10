/**
 * A NitroTPM attester over a proxied TPM, with a software security module behind the vendor command, and the check of
 * its documents by the ordinary verifier.
 */
import { openNitroTpmAttester } from '../../attestation/attester/nitro-tpm.ts';
import { makeDeveloperRoot } from '../../attestation/developer/chain.ts';
import { createSoftwareNsm } from '../../attestation/developer/software-nsm.ts';
import { type VerifiedDocument, verifyLiveDocument } from '../../attestation/document/index.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { nitroTpmProxy, type ProxyOptions } from './tpm-proxy.ts';

const MODULE_ID = 'i-0123456789abcdef0-tpm0000000000000000';

/** The registers of the simulated instance. */
export const TPM_PCRS: ReadonlyMap<number, Uint8Array> = new Map([
  [4, new Uint8Array(48).fill(4)],
  [7, new Uint8Array(48).fill(7)],
]);

/** A software security module of a parent instance, and the verifier of its documents. */
export function instanceModule() {
  const root = makeDeveloperRoot({ nowMs: Date.now() });
  const nsm = createSoftwareNsm({
    root,
    platform: 'nitro-tpm',
    moduleId: MODULE_ID,
    pcrs: TPM_PCRS,
    clock: systemClock,
  });
  const anchor = { name: 'test', certificate: root.certificate };
  const verify = (document: Uint8Array): Promise<VerifiedDocument> =>
    verifyLiveDocument(document, { anchor, nowMs: Date.now() });
  return { nsm, verify };
}

/** An attester whose TPM is `below`, made a NitroTPM. */
export function attesterOver(
  options: Omit<ProxyOptions, 'answer'> & { answer?: ProxyOptions['answer']; clock?: Clock },
) {
  const { nsm, verify } = instanceModule();
  const proxy = nitroTpmProxy({ answer: (request) => nsm.handle(request), ...options });
  const { clock = systemClock } = options;
  const attester = openNitroTpmAttester({ via: 'tpm', tpm: proxy, clock, random: systemRandom });
  return { attester, proxy, verify };
}
