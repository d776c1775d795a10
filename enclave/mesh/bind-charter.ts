/**
 * Ties the running engine to its charter before it reads anything secret: PCR16 is extended with the charter's digest
 * and every register is locked, so that each later document says under which charter the engine runs.
 *
 * Nothing here is secret. Design §3, "Charter and governed record"; registers: nitro.md §2.
 */
import type { Nsm } from '../../attestation/attester/attester.ts';
import type { TrustAnchor, VerifiedDocument } from '../../attestation/document/index.ts';
import { type Charter, charterDigest, pcr16Of } from '../../attestation/governance/charter.ts';
import { equalBytes, toHex } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import { attestClock } from './attest-clock.ts';

/** Register that holds the charter. */
export const CHARTER_PCR = 16;
const ALL_PCRS = 32;

/**
 * Extends PCR16 with the charter's digest, locks all registers, and returns this engine's first document.
 *
 * @throws KmsError `STATE_INVALID` if PCR16 is not the charter's afterwards (it was extended or locked before), or if
 *   this machine's clock and the document's signed time differ by more than 60 s; `ATTESTATION_INVALID` if the
 *   document does not verify under `anchor`.
 */
export async function bindCharter(
  nsm: Nsm,
  charter: Charter,
  { anchor, clock }: { readonly anchor: TrustAnchor; readonly clock: Clock },
): Promise<VerifiedDocument> {
  await nsm.extendPcr(CHARTER_PCR, charterDigest(charter));
  await nsm.lockPcrs(ALL_PCRS);
  const { value } = await nsm.describePcr(CHARTER_PCR);
  const expected = pcr16Of(charter);
  if (!equalBytes(value, expected)) {
    const facts = { expected: toHex(expected), actual: toHex(value) };
    throw new KmsError('STATE_INVALID', 'PCR16 was extended before this engine started', facts);
  }
  return await attestClock(nsm, { anchor, clock });
}
