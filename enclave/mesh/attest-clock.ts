/**
 * The engine's clock against the hypervisor's: a document of its own carries a signed time, and more than a minute between
 * the two means that this clock would let expired releases and records in. Design §3, rule 9.
 */
import type { Attester } from '../../attestation/attester/attester.ts';
import { type TrustAnchor, type VerifiedDocument, verifyLiveDocument } from '../../attestation/document/index.ts';
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';

const MAX_SKEW_MS = 60_000;
const DAY_MS = 86_400_000;

/**
 * Makes a document, verifies it, and compares its time with the clock.
 *
 * @throws KmsError `STATE_INVALID` if they differ by more than 60 s; `ATTESTATION_INVALID` if the document does not verify
 *   under `anchor`; what the attester throws.
 */
export async function attestClock(
  attester: Pick<Attester, 'attest'>,
  { anchor, clock }: { readonly anchor: TrustAnchor; readonly clock: Clock },
): Promise<VerifiedDocument> {
  const document = await attester.attest({});
  const nowMs = clock.nowMs();
  // The document's own time is judged below: with both times in the error.
  const verified = await verifyLiveDocument(document, { anchor, nowMs, maxAgeMs: DAY_MS, skewMs: DAY_MS });
  checkClock(verified.timestampMs, nowMs);
  return verified;
}

function checkClock(attestedMs: number, nowMs: number): void {
  if (Math.abs(nowMs - attestedMs) <= MAX_SKEW_MS) return;
  const times = { attested: new Date(attestedMs).toISOString(), clock: new Date(nowMs).toISOString() };
  const message = `the clock says ${times.clock}, the attestation ${times.attested}: more than 60 s apart; set the clock`;
  throw new KmsError('STATE_INVALID', message, times);
}
