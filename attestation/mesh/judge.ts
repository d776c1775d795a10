/**
 * The only judge of peers: every call of the document verifier that the mesh makes stands here. All must hold; nothing
 * is optional and no option reaches this file but tighter bounds. What differs is reported all at once.
 *
 * Order, cheapest first: role, party and network of the leaf; the mesh signature over its key and who certified that;
 * the document's chain; measurements; the proof. Design §4; docs/security/mesh.md has the table of attacks.
 */
import { createHash } from 'node:crypto';
import { equalBytes, toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { encodeCanonical } from '../cbor.ts';
import { matchMeasurements, type VerifiedDocument, verifyLiveDocument } from '../document/index.ts';
import type { Role, Service } from '../role.ts';
import { decodeHello } from './hello.ts';
import { identityToCbor, recoverIdentityAddress, verifyMeshSignature } from './identity.ts';
import { type LeafClaims, leafDigest } from './leaf.ts';
import type { Hello, MeshEndpoint, PartyView, PeerExpectation } from './mesh-context.ts';
import { type Channel, type Proof, type ProofClaims, proofDigest } from './proof.ts';
import { type Mismatch, refusal, refuse } from './reasons.ts';

/** Who may call whom. */
const PARTNERS: Readonly<Record<Service, { readonly client: Role; readonly server: Role }>> = {
  'engine-calls': { client: 'core', server: 'engine' },
  'core-grpc': { client: 'connector', server: 'core' },
  'engine-data': { client: 'engine', server: 'engine' },
};
/** Age of a leaf's document: bounded by its chain (three hours); this is the second fence. */
const MAX_LEAF_DOCUMENT_AGE_MS = 86_400_000;
/** The verifier's own tolerance; the sharper bounds here name both times. */
const VERIFIER_SKEW_MS = 600_000;
const PCR_BYTES = 48;
const CHARTER_PCR = 16;
const INSTANCE_PCR = 4;

type Judge = Pick<MeshEndpoint, 'self' | 'view' | 'clock' | 'limits' | 'chains'>;

/** Which end of the connection this process is. */
export type Side = 'client' | 'server';

/** Everything that stays true or must be asked again about a peer while its connection lives. */
export interface JudgedPeer {
  readonly leaf: LeafClaims;
  readonly document: VerifiedDocument;
  readonly address: Uint8Array | undefined;
  readonly release: string;
  readonly expect: PeerExpectation;
}

/** What a good proof adds. */
export interface JudgedProof {
  readonly hello: Hello;
  readonly incarnation: number;
  readonly skewMs: number;
  readonly context: Uint8Array;
}

/**
 * First step, before anything expensive: the leaf claims a role and party that belong here, and the party's own key
 * has signed the leaf's key. A Core or Connector has no such key.
 *
 * @returns The node address, undefined for a parent role.
 * @throws KmsError `ATTESTATION_REJECTED` or `ATTESTATION_INVALID` with all that differs.
 */
export function judgeIdentity(
  leaf: LeafClaims,
  expect: PeerExpectation,
  side: Side,
  judge: Judge,
): Uint8Array | undefined {
  const { self, view, clock, limits } = judge;
  const wrong: Mismatch[] = [];
  const partner = PARTNERS[expect.service][side === 'client' ? 'server' : 'client'];
  const roles = typeof expect.role === 'string' ? [expect.role] : expect.role;
  if (leaf.role !== partner || !roles.includes(leaf.role)) {
    wrong.push({ reason: 'role', detail: `${expect.service} needs ${roles.join(' or ')}, it is ${leaf.role}` });
  }
  if (self.role !== PARTNERS[expect.service][side]) {
    wrong.push({ reason: 'role', detail: `this ${self.role} is no ${side} of ${expect.service}` });
  }
  if (leaf.network !== view.network) wrong.push({ reason: 'network', detail: `needs ${view.network}` });
  const party = view.party(leaf.party);
  wrong.push(...judgeParty(leaf, party, expect, judge));
  const nowMs = clock.nowMs();
  if (nowMs < leaf.notBeforeMs - limits.maxSkewMs || nowMs >= leaf.notAfterMs) {
    wrong.push({ reason: 'certificate', detail: `valid ${span(leaf)}, now it is ${iso(nowMs)}` });
  }
  if (wrong.length > 0 || party === undefined) throw refusal(wrong);
  return judgeKey(leaf, party, expect, judge);
}

function judgeParty(
  leaf: LeafClaims,
  party: PartyView | undefined,
  expect: PeerExpectation,
  { self }: Judge,
): readonly Mismatch[] {
  const same = expect.service !== 'engine-data';
  if (party === undefined) return [{ reason: 'party', detail: `party ${leaf.party} is not in the context` }];
  if (expect.party !== undefined && leaf.party !== expect.party) {
    return [{ reason: 'party', detail: `needs party ${expect.party}, it is ${leaf.party}` }];
  }
  if ((leaf.party === self.party) !== same) {
    return [
      { reason: 'party', detail: `${expect.service} needs ${same ? 'the own' : 'another'} party, it is ${leaf.party}` },
    ];
  }
  return [];
}

/** The mesh signature over the leaf key, and the node key that certified the mesh key. */
function judgeKey(
  leaf: LeafClaims,
  party: PartyView,
  expect: PeerExpectation,
  { view }: Judge,
): Uint8Array | undefined {
  const { identityCertificate: certificate, meshSignature } = leaf;
  if (leaf.role !== 'engine') {
    if (certificate || meshSignature) throw refuse('identity', `a ${leaf.role} has no party key`);
    return undefined;
  }
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
  const mismatch = addressMismatch(address, party, expect.service);
  if (mismatch) throw refusal([mismatch]);
  return address;
}

function certifiedBy(certificate: NonNullable<LeafClaims['identityCertificate']>): Uint8Array {
  try {
    return recoverIdentityAddress(certificate);
  } catch (error) {
    if (error instanceof KmsError) throw refuse('identity', error.message);
    throw error;
  }
}

function addressMismatch(address: Uint8Array, party: PartyView, service: Service): Mismatch | undefined {
  if (party.address === undefined) {
    if (service === 'engine-calls') return undefined; // First enrolment: bound to this instance, checked with its document.
    return { reason: 'identity', detail: `party ${party.party} is not enrolled yet` };
  }
  if (equalBytes(address, party.address)) return undefined;
  return {
    reason: 'identity',
    detail: `party ${party.party} has node 0x${toHex(party.address)}, it is 0x${toHex(address)}`,
  };
}

/**
 * Second step: the leaf's document verifies, binds this leaf's key, and measures a trusted release for its role.
 *
 * @throws KmsError `ATTESTATION_INVALID` if it does not verify, `ATTESTATION_REJECTED` with all that differs.
 */
export async function judgeLeaf(
  leaf: LeafClaims,
  address: Uint8Array | undefined,
  expect: PeerExpectation,
  judge: Judge,
): Promise<JudgedPeer> {
  const document = await verified(leaf.document, judge);
  const wrong: Mismatch[] = [...bindingMismatches(document, leaf.spki, leafDigest(leaf), 'certificate')];
  if (leaf.notAfterMs > document.notAfterMs || leaf.notBeforeMs < document.notBeforeMs - judge.limits.maxSkewMs) {
    wrong.push({ reason: 'certificate', detail: `valid ${span(leaf)}, its document's chain ${span(document)}` });
  }
  if (instanceNeeded(expect) && document.instanceId !== instanceOf(judge.self.moduleId)) {
    wrong.push({
      reason: 'instance',
      detail: `needs ${instanceOf(judge.self.moduleId)}, it is ${document.instanceId}`,
    });
  }
  const peer = { leaf, document, address, expect };
  const trusted = trust(peer, judge);
  wrong.push(...trusted.wrong);
  if (wrong.length > 0 || trusted.release === undefined) throw refusal(wrong);
  return { ...peer, release: trusted.release };
}

/** What depends on the view and is asked again whenever the view changes: release, charter, identity, instance. */
function trust(peer: Omit<JudgedPeer, 'release'>, { view }: Judge): { release: string | undefined; wrong: Mismatch[] } {
  const { leaf, document, address, expect } = peer;
  const wrong: Mismatch[] = [];
  const platform = leaf.role === 'engine' ? 'enclave' : 'nitro-tpm';
  if (document.platform !== platform) {
    wrong.push({
      reason: 'role',
      detail: `${leaf.role} needs a document of platform ${platform}, it is ${document.platform}`,
    });
  }
  const party = view.party(leaf.party);
  if (party === undefined) wrong.push({ reason: 'party', detail: `party ${leaf.party} is not in the context` });
  if (leaf.role === 'engine' && party !== undefined) {
    const mismatch = address && addressMismatch(address, party, expect.service);
    if (mismatch) wrong.push(mismatch);
    wrong.push(...registerMismatch(document, CHARTER_PCR, party.pcr16, 'charter'));
    wrong.push(...registerMismatch(document, INSTANCE_PCR, instanceRegister(document.instanceId), 'instance'));
  }
  const allowed = view.measurements().filter((entry) => entry.role === leaf.role && entry.platform === platform);
  const { matched, mismatches } = matchMeasurements(document, allowed);
  if (matched === undefined) {
    if (mismatches.length === 0)
      wrong.push({ reason: 'measurement', detail: `no release is trusted for ${leaf.role}` });
    for (const { release, pcr, expected, actual } of mismatches) {
      wrong.push({
        reason: 'measurement',
        detail: `PCR${pcr} of ${release} is ${expected}, it has ${actual ?? 'none'}`,
      });
    }
  }
  return { release: matched?.release, wrong };
}

/**
 * Third step: the proof was made for this connection, by this leaf's process, now.
 *
 * @param times - Own wall clock when TLS was done and when the proof had come: it was made in between.
 * @throws KmsError `ATTESTATION_INVALID` or `ATTESTATION_REJECTED` with all that differs.
 */
export async function judgeProof(
  proof: Proof,
  peer: JudgedPeer,
  channel: Channel,
  times: { readonly fromMs: number; readonly toMs: number },
  judge: Judge,
): Promise<JudgedProof> {
  const { self, view } = judge;
  const { leaf } = peer;
  const { incarnation } = proof.claims;
  const expected: ProofClaims = {
    role: leaf.role,
    service: peer.expect.service,
    network: view.network,
    context: view.context(),
    sender: leaf.party,
    receiver: self.party,
    incarnation,
  };
  const hello = readHello(proof.hello);
  const digest = proofDigest(channel, expected, proof.hello);
  const wrong: Mismatch[] = [...claimMismatches(proof.claims, expected), ...helloMismatches(hello, leaf)];
  const least = view.party(leaf.party)?.minIncarnation ?? Number.POSITIVE_INFINITY;
  if (incarnation < least) {
    wrong.push({ reason: 'incarnation', detail: `needs at least ${least}, it is ${incarnation}` });
  }
  const signed =
    leaf.identityCertificate && verifyMeshSignature(leaf.identityCertificate.key, digest, proof.meshSignature);
  if (signed !== undefined ? !signed : proof.meshSignature.length > 0) {
    wrong.push({ reason: 'proof', detail: 'the mesh key did not sign this connection' });
  }
  const document = await verified(proof.document, judge);
  wrong.push(...bindingMismatches(document, leaf.spki, digest, 'proof'), ...siblingMismatches(document, peer.document));
  const { skewMs, mismatch } = judgeTime(document.timestampMs, times, judge);
  if (mismatch) wrong.push(mismatch);
  if (wrong.length > 0) throw refusal(wrong, { skewMs });
  return { hello, incarnation, skewMs, context: expected.context };
}

/**
 * Judges an open connection again by what is known now.
 *
 * @returns Everything for which the peer would be refused now; empty if it may stay.
 */
export function judgeAgain(peer: JudgedPeer, proof: JudgedProof, judge: Judge): readonly Mismatch[] {
  const { leaf } = peer;
  const wrong = trust(peer, judge).wrong;
  const nowMs = judge.clock.nowMs();
  if (nowMs >= leaf.notAfterMs) wrong.push({ reason: 'certificate', detail: `its leaf ended ${iso(leaf.notAfterMs)}` });
  if (!equalBytes(proof.context, judge.view.context()))
    wrong.push({ reason: 'context', detail: 'the context changed' });
  const least = judge.view.party(leaf.party)?.minIncarnation ?? Number.POSITIVE_INFINITY;
  if (proof.incarnation < least) {
    wrong.push({ reason: 'incarnation', detail: `${least} replaced ${proof.incarnation}` });
  }
  return wrong;
}

/** Returns what PCR4 of an enclave must be: SHA-384(0^48 ‖ instance id). */
export const instanceRegister = (instanceId: string): Uint8Array =>
  createHash('sha384').update(new Uint8Array(PCR_BYTES)).update(instanceId).digest();

/** Returns the instance part of a module id: what stands before `-enc…` or `-tpm…`. */
export const instanceOf = (moduleId: string): string => moduleId.replace(/-(?:enc|tpm)[0-9a-f]*$/, '');

async function verified(document: Uint8Array, { view, clock, chains }: Judge): Promise<VerifiedDocument> {
  const nowMs = clock.nowMs();
  try {
    const options = { nowMs, maxAgeMs: MAX_LEAF_DOCUMENT_AGE_MS, skewMs: VERIFIER_SKEW_MS, cache: chains };
    const result = await verifyLiveDocument(document, { anchor: view.anchor, ...options });
    if (nowMs < result.notAfterMs) return result;
    throw refuse('document', `its chain ended ${iso(result.notAfterMs)}, now it is ${iso(nowMs)}`);
  } catch (error) {
    if (!(error instanceof KmsError) || error.facts.reasons !== undefined) throw error;
    throw refuse('document', error.message, error.facts);
  }
}

/** The document is about this key and nothing else: no nonce, this user_data. */
function bindingMismatches(
  document: VerifiedDocument,
  spki: Uint8Array,
  digest: Uint8Array,
  reason: 'certificate' | 'proof',
): readonly Mismatch[] {
  const wrong: Mismatch[] = [];
  if (!same(document.publicKey, spki)) wrong.push({ reason, detail: 'its document binds another key than the leaf' });
  if (!same(document.userData, digest)) wrong.push({ reason, detail: 'its document was made for something else' });
  if (document.nonce !== undefined) wrong.push({ reason, detail: 'its document answers a nonce' });
  return wrong;
}

/** Leaf and proof come from the very same module: a sibling of the same image has another id. */
function siblingMismatches(document: VerifiedDocument, leaf: VerifiedDocument): readonly Mismatch[] {
  const wrong: Mismatch[] = [];
  if (document.moduleId !== leaf.moduleId || document.platform !== leaf.platform) {
    wrong.push({ reason: 'proof', detail: 'made by another module than the leaf' });
  }
  const indexes = new Set([...document.pcrs.keys(), ...leaf.pcrs.keys()]);
  const differing = [...indexes].filter((index) => !same(document.pcrs.get(index), leaf.pcrs.get(index)));
  if (differing.length > 0) {
    wrong.push({ reason: 'proof', detail: `PCR ${differing.sort((a, b) => a - b).join(', ')} differ from the leaf's` });
  }
  return wrong;
}

function claimMismatches(actual: ProofClaims, expected: ProofClaims): readonly Mismatch[] {
  const wrong: Mismatch[] = [];
  if (actual.role !== expected.role) wrong.push({ reason: 'role', detail: `its leaf says ${expected.role}` });
  if (actual.service !== expected.service) wrong.push({ reason: 'role', detail: `this is ${expected.service}` });
  if (actual.network !== expected.network) wrong.push({ reason: 'network', detail: `needs ${expected.network}` });
  if (!equalBytes(actual.context, expected.context)) {
    wrong.push({ reason: 'context', detail: `needs ${toHex(expected.context)}, it has ${toHex(actual.context)}` });
  }
  if (actual.sender !== expected.sender)
    wrong.push({ reason: 'party', detail: `its leaf says party ${expected.sender}` });
  if (actual.receiver !== expected.receiver) {
    wrong.push({ reason: 'party', detail: `it wants party ${actual.receiver}, this is ${expected.receiver}` });
  }
  return wrong;
}

function readHello(bytes: Uint8Array): Hello {
  try {
    return decodeHello(bytes);
  } catch (error) {
    if (error instanceof KmsError) throw refuse('malformed', error.message);
    throw error;
  }
}

function helloMismatches(hello: Hello, leaf: LeafClaims): readonly Mismatch[] {
  const [told, shown] = [hello.identityCertificate, leaf.identityCertificate].map((certificate) =>
    certificate ? encodeCanonical(identityToCbor(certificate)) : new Uint8Array(),
  );
  return same(told, shown ?? new Uint8Array())
    ? []
    : [{ reason: 'identity', detail: 'hello and leaf name two identities' }];
}

function judgeTime(
  timestampMs: number,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
  { limits }: Judge,
): { skewMs: number; mismatch: Mismatch | undefined } {
  const skewMs = Math.round(timestampMs - (fromMs + toMs) / 2);
  // Outside of the span in which it must have been made, by how much?
  const ahead = timestampMs - toMs;
  const behind = fromMs - timestampMs;
  if (ahead <= limits.maxSkewMs && behind <= limits.maxSkewMs && toMs - timestampMs <= limits.maxProofAgeMs) {
    return { skewMs, mismatch: undefined };
  }
  const detail = `its proof is of ${iso(timestampMs)}, this clock says ${iso(toMs)}: at most ${limits.maxSkewMs / 1000} s apart`;
  return { skewMs, mismatch: { reason: 'clock', detail } };
}

function registerMismatch(
  document: VerifiedDocument,
  pcr: number,
  expected: Uint8Array,
  reason: 'charter' | 'instance',
): readonly Mismatch[] {
  const actual = document.pcrs.get(pcr);
  if (same(actual, expected)) return [];
  return [{ reason, detail: `PCR${pcr} needs ${toHex(expected)}, it has ${actual ? toHex(actual) : 'none'}` }];
}

const instanceNeeded = ({ service, sameInstance }: PeerExpectation): boolean =>
  service !== 'engine-data' || sameInstance === true;
const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && equalBytes(a, b);
const iso = (ms: number): string =>
  Number.isFinite(ms) && Math.abs(ms) < 8.64e15 ? new Date(ms).toISOString() : 'no time';
const span = ({ notBeforeMs, notAfterMs }: { notBeforeMs: number; notAfterMs: number }): string =>
  `${iso(notBeforeMs)} to ${iso(notAfterMs)}`;
