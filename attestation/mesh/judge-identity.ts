/**
 * The judge's first step, before anything expensive: the leaf claims a role and party that belong on this connection,
 * and the party's own key has signed the leaf's key. Nothing here is secret. Design §4, "Strangers are refused cheaply".
 */
import { equalBytes, toHex } from '../../common/bytes.ts';
import { isKmsError } from '../../common/errors.ts';
import type { Role, Service } from '../role.ts';
import { recoverIdentityAddress, verifyMeshSignature } from './identity.ts';
import { type LeafClaims, leafDigest } from './leaf.ts';
import type { IdentityCertificate, MeshEndpoint, PartyView, PeerExpectation } from './mesh-context.ts';
import { describeSpan, isoTime, type Mismatch, refusal, refuse } from './reasons.ts';

/** Who may call whom; what a caller of the mesh expects can only be narrower. */
const PARTNERS: Readonly<Record<Service, { readonly client: Role; readonly server: Role }>> = {
  'engine-calls': { client: 'core', server: 'engine' },
  'core-grpc': { client: 'connector', server: 'core' },
  'engine-data': { client: 'engine', server: 'engine' },
};

/**
 * How far a peer's clock may be ahead before its certificates count as not valid yet. Wider than the allowed skew, so
 * that it is the signed time of the proof that tells of clocks that differ, by both times.
 */
export const VERIFIER_SKEW_MS = 600_000;

/** Which end of the connection this process is. */
export type Side = 'client' | 'server';

/** What of an endpoint judging needs. */
export type Judge = Pick<MeshEndpoint, 'self' | 'view' | 'clock' | 'limits' | 'chains'>;

/** Returns whether both ends must be halves of one instance: always within a party, where a parent has no key. */
export const isInstanceNeeded = ({ service, sameInstance }: PeerExpectation): boolean =>
  isWithinParty(service) || sameInstance === true;

const isWithinParty = (service: Service): boolean => service !== 'engine-data';

/**
 * Checks claims, validity and the identity signature.
 *
 * @returns The node address; undefined for a Core or Connector, which has no party key, and for the own engine while it
 *   waits to be restored.
 * @throws KmsError `ATTESTATION_REJECTED` or `ATTESTATION_INVALID` with all that differs.
 */
export function judgeIdentity(
  leaf: LeafClaims,
  expect: PeerExpectation,
  side: Side,
  judge: Judge,
): Uint8Array | undefined {
  const { view, clock } = judge;
  const party = view.party(leaf.party);
  const wrong = [...roleMismatches(leaf, expect, side, judge), ...partyMismatches(leaf, party, expect, judge)];
  if (leaf.network !== view.network) wrong.push({ reason: 'network', detail: `needs ${view.network}` });
  const nowMs = clock.nowMs();
  if (nowMs < leaf.notBeforeMs - VERIFIER_SKEW_MS || nowMs >= leaf.notAfterMs) {
    wrong.push({ reason: 'certificate', detail: `valid ${describeSpan(leaf)}, this clock says ${isoTime(nowMs)}` });
  }
  if (wrong.length > 0 || party === undefined) throw refusal(wrong);
  return judgeKey(leaf, party, expect, judge);
}

function roleMismatches(leaf: LeafClaims, expect: PeerExpectation, side: Side, { self }: Judge): Mismatch[] {
  const wrong: Mismatch[] = [];
  const needed = PARTNERS[expect.service];
  const partner = needed[side === 'client' ? 'server' : 'client'];
  const wanted = typeof expect.role === 'string' ? [expect.role] : expect.role;
  if (leaf.role !== partner || !wanted.includes(leaf.role)) {
    wrong.push({ reason: 'role', detail: `${expect.service} needs ${partner} there, it is ${leaf.role}` });
  }
  if (self.role !== needed[side]) {
    wrong.push({ reason: 'role', detail: `${expect.service} needs ${needed[side]} here, this is ${self.role}` });
  }
  return wrong;
}

function partyMismatches(
  leaf: LeafClaims,
  party: PartyView | undefined,
  { service, party: wanted }: PeerExpectation,
  { self }: Judge,
): Mismatch[] {
  const isOwn = leaf.party === self.party;
  if (party === undefined) return [{ reason: 'party', detail: `party ${leaf.party} is not in the context` }];
  if (wanted !== undefined && leaf.party !== wanted) {
    return [{ reason: 'party', detail: `needs party ${wanted}, it claims ${leaf.party}` }];
  }
  if (isOwn === isWithinParty(service)) return [];
  return [
    { reason: 'party', detail: `${service} needs ${isOwn ? 'another' : 'the own'} party, it claims ${leaf.party}` },
  ];
}

/** The mesh signature over the leaf key, and the node key that certified the mesh key. */
function judgeKey(
  leaf: LeafClaims,
  party: PartyView,
  { service }: PeerExpectation,
  { view }: Judge,
): Uint8Array | undefined {
  const { identityCertificate: certificate, meshSignature } = leaf;
  if (leaf.role !== 'engine') {
    if (certificate || meshSignature) throw refuse('identity', `a ${leaf.role} has no party key`);
    return undefined;
  }
  // An engine that has lost its vault has no party key until it is restored. Its own Core, which gives no engine any
  // trust for its key, is all that it may speak to; other parties know it again by its key alone.
  if (!certificate && !meshSignature && isWithinParty(service)) return undefined;
  if (!certificate || !meshSignature) throw refuse('identity', 'an engine needs the signature of its mesh key');
  const wrong: Mismatch[] = [];
  if (certificate.network !== view.network) wrong.push({ reason: 'network', detail: 'certified for another network' });
  if (certificate.party !== leaf.party) {
    wrong.push({ reason: 'identity', detail: `certified for party ${certificate.party}, it claims ${leaf.party}` });
  }
  if (!verifyMeshSignature(certificate.key, leafDigest(leaf), meshSignature)) {
    wrong.push({ reason: 'identity', detail: 'the mesh key did not sign this leaf key' });
  }
  if (wrong.length > 0) throw refusal(wrong);
  const address = certifiedBy(certificate);
  const mismatch = addressMismatch(address, party, service);
  if (mismatch) throw refusal([mismatch]);
  return address;
}

function certifiedBy(certificate: IdentityCertificate): Uint8Array {
  try {
    return recoverIdentityAddress(certificate);
  } catch (error) {
    if (isKmsError(error)) throw refuse('identity', error.message);
    throw error;
  }
}

/** Returns what is wrong with a node address, or undefined if it is that of the party. */
export function addressMismatch(address: Uint8Array, party: PartyView, service: Service): Mismatch | undefined {
  if (party.address === undefined) {
    // First enrolment: the engine is bound to this instance, which its document is checked for.
    if (isWithinParty(service)) return undefined;
    return { reason: 'identity', detail: `party ${party.party} is not enrolled yet` };
  }
  if (equalBytes(address, party.address)) return undefined;
  const detail = `party ${party.party} has node 0x${toHex(party.address)}, it has 0x${toHex(address)}`;
  return { reason: 'identity', detail };
}
