/**
 * Whether a recovery request may be answered: it comes, within fifteen minutes and for this custodian's own challenge,
 * from an engine of a release that counts, under the charter, node and contexts that stand on the custodian's paper.
 * Everything here is public; the words are asked for only after it.
 */
import { createHash } from 'node:crypto';
import {
  AWS_NITRO_ROOT,
  matchMeasurements,
  type TrustAnchor,
  type VerifiedDocument,
  verifyLiveDocument,
} from '../attestation/document/index.ts';
import {
  charterDigest,
  measurementsOf,
  pcr16Of,
  proposalFor,
  verifyApprovals,
  verifyReleaseSet,
} from '../attestation/governance/index.ts';
import type { AttestedRequest } from '../attestation/recovery/attested-request.ts';
import { RECOVERY_MAX_AGE_MS, type RecoverFacts, recoverCommitment } from '../attestation/recovery/recover-facts.ts';
import { equalBytes } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';
import { formatAddress } from '../wire/addresses.ts';
import { ciphertextsDigest, decodeRecoveryRequest, type RecoveryRequest } from '../wire/custodian/recovery-request.ts';
import { encodeEncKey } from '../wire/enc-key.ts';
import { idBytes } from '../wire/ids.ts';
import { addressOfCompressedKey } from '../wire/signatures.ts';
import type { CustodianTrust } from './trust.ts';

/** What a request is judged by. */
export interface RequestJudge {
  readonly trust: CustodianTrust;
  /** The custodian's own challenge, 16 bytes. */
  readonly challenge: Uint8Array;
  /** Signed and approved release set. */
  readonly releases: Uint8Array;
  /** Root of attestation; AWS's unless the charter names a developer's. */
  readonly anchor?: TrustAnchor | undefined;
  readonly nowMs: number;
}

/** A request that may be answered. */
export interface VerifiedRequest {
  readonly request: RecoveryRequest;
  /** Name of the release that asks. */
  readonly release: string;
  readonly attestedAtMs: number;
  /** The root is a developer's: the document proves nothing about hardware. */
  readonly developer: boolean;
}

const CHARTER_PCR = 16;

/**
 * Verifies a request.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if it is malformed; `ATTESTATION_REJECTED` with everything that is wrong.
 */
export async function verifyRecoveryRequest(
  { request: encoded, facts, document: bytes }: AttestedRequest,
  judge: RequestJudge,
): Promise<VerifiedRequest> {
  const { trust, nowMs } = judge;
  const request = decodeRecoveryRequest(encoded);
  const faults = factFaults(facts, request, judge);
  const anchor = judge.anchor ?? AWS_NITRO_ROOT;
  if (!equalBytes(createHash('sha256').update(anchor.certificate).digest(), trust.charter.anchor)) {
    faults.push(`the charter names another attestation root than ${anchor.name}`);
  }
  const document = await verifyLiveDocument(bytes, { anchor, nowMs, maxAgeMs: RECOVERY_MAX_AGE_MS }).catch(
    (error: unknown) => {
      if (!(error instanceof KmsError)) throw error;
      faults.push(error.message);
      return undefined;
    },
  );
  let release: string | undefined;
  if (document !== undefined) {
    const committed: RecoverFacts = { ...facts, ciphertextsDigest: ciphertextsDigest(request.ciphertexts) };
    faults.push(...bindingFaults(document, request, committed));
    const judged = judgeRelease(document, judge);
    if (typeof judged === 'string') release = judged;
    else faults.push(...judged);
  }
  if (faults.length > 0 || release === undefined || document === undefined) {
    throw new KmsError('ATTESTATION_REJECTED', `do not answer this request:\n  ${faults.join('\n  ')}`, {
      faults: faults.length,
    });
  }
  const developer = !equalBytes(anchor.certificate, AWS_NITRO_ROOT.certificate);
  return { request, release, attestedAtMs: document.timestampMs, developer };
}

/** What stands beside the document, against what stands on paper. */
function factFaults(
  facts: AttestedRequest['facts'],
  request: RecoveryRequest,
  { trust, challenge }: RequestJudge,
): string[] {
  const faults: string[] = [];
  const check = (same: boolean, fault: string): void => void (same || faults.push(fault));
  check(equalBytes(facts.charterDigest, charterDigest(trust.charter)), 'it is of another charter: network or party');
  check(equalBytes(facts.mpcContextId, idBytes(trust.mpcContextId)), 'it is of another MPC context');
  check(equalBytes(facts.custodianContextId, idBytes(trust.custodianContextId)), 'it is of another custodian context');
  const address = addressOfCompressedKey(request.operatorKey);
  check(
    equalBytes(address, trust.address) && equalBytes(facts.address, trust.address),
    `it is of the node ${formatAddress(address)}, not of ${formatAddress(trust.address)}`,
  );
  check(equalBytes(facts.challenge, challenge), 'it answers the challenge of somebody else, or an older one');
  return faults;
}

/** The document is about this very request. */
function bindingFaults(document: VerifiedDocument, request: RecoveryRequest, facts: RecoverFacts): string[] {
  const faults: string[] = [];
  const { publicKey, userData } = document;
  if (publicKey === undefined || !equalBytes(publicKey, encodeEncKey(request.ephemeralKey))) {
    faults.push('the document is for another ephemeral key: answers would go to whoever holds that one');
  }
  if (userData === undefined || !equalBytes(userData, recoverCommitment(facts))) {
    faults.push('the document does not commit to this request, its node, its contexts and its challenge');
  }
  return faults;
}

/** Returns the name of the engine's release, or why none counts. */
function judgeRelease(document: VerifiedDocument, { trust, releases, nowMs }: RequestJudge): string | string[] {
  const { charter } = trust;
  const faults: string[] = [];
  const pcr16 = document.pcrs.get(CHARTER_PCR);
  if (document.platform !== 'enclave') faults.push('the document is not that of an enclave');
  if (pcr16 === undefined || !equalBytes(pcr16, pcr16Of(charter))) {
    faults.push('PCR16 differs: the engine was started under another charter');
  }
  try {
    const set = verifyReleaseSet(releases, { network: charter.network, releaseKeys: trust.releaseKeys });
    verifyApprovals(proposalFor('release-set', set), set.approvals, charter);
    const { version } = set.body;
    if (version < trust.minimumReleaseSet) {
      faults.push(`release set ${version} is older than ${trust.minimumReleaseSet}, the least that the paper names`);
    }
    const engines = measurementsOf(set.body, nowMs).filter(({ role }) => role === 'engine');
    const { matched, mismatches } = matchMeasurements(document, engines);
    if (matched !== undefined && faults.length === 0) return matched.release;
    if (matched === undefined) {
      const pcrs = mismatches.map(({ release, pcr }) => `PCR${pcr} differs from release ${release}`);
      faults.push(`no release of set ${version} has the measurements of this engine`, ...pcrs);
    }
  } catch (error) {
    if (!(error instanceof KmsError)) throw error;
    faults.push(error.message);
  }
  return faults;
}
