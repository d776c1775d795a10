/**
 * The only judge of peers: every call of the document verifier about a peer stands here. All must hold; nothing is
 * optional and no option reaches this file but tighter bounds. What differs is reported all at once.
 *
 * Order, cheapest first: `judge-identity.ts`; then the leaf's document with its chain; measurements, charter, instance;
 * then the proof. Design §4; docs/security/mesh.md has the table of attacks and where each fails.
 */
import { equalBytes, toHex } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { matchMeasurements, type VerifiedDocument, verifyLiveDocument } from '../document/index.ts';
import { pcrFaults } from '../document/measurements.ts';
import { decodeHello } from './hello.ts';
import { verifyMeshSignature } from './identity.ts';
import { INSTANCE_PCR, instanceOf, instanceRegister } from './instance.ts';
import { addressMismatch, isInstanceNeeded, type Judge, VERIFIER_SKEW_MS } from './judge-identity.ts';
import { type LeafClaims, leafDigest } from './leaf.ts';
import { verifyOwnSignature } from './leaf-certificate.ts';
import type { Hello, PeerExpectation } from './mesh-context.ts';
import { type Channel, type Proof, type ProofClaims, proofDigest } from './proof.ts';
import { claimMismatches, helloMismatches, judgeTime, siblingMismatches, type TimeSpan } from './proof-mismatches.ts';
import { describeSpan, isoTime, type Mismatch, refusal, refuse } from './reasons.ts';

/** Age of a leaf's document: bounded by its chain (three hours); this is the second fence. */
const MAX_LEAF_DOCUMENT_AGE_MS = 86_400_000;
const CHARTER_PCR = 16;

/** Everything about a peer that stays true, or must be asked again, while its connection lives. */
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
 * Second step: the leaf's document verifies, binds this leaf's key, and measures a trusted release for its role.
 *
 * @param address - What the first step returned.
 * @throws KmsError `ATTESTATION_INVALID` if it does not verify, `ATTESTATION_REJECTED` with all that differs.
 */
export async function judgeLeaf(
  leaf: LeafClaims,
  address: Uint8Array | undefined,
  expect: PeerExpectation,
  judge: Judge,
): Promise<JudgedPeer> {
  verifyOwnSignature(leaf.der);
  const document = await verified(leaf.document, judge);
  const wrong: Mismatch[] = [...bindingMismatches(document, leaf.spki, leafDigest(leaf), 'certificate')];
  if (leaf.notAfterMs > document.notAfterMs || leaf.notBeforeMs < document.notBeforeMs - judge.limits.maxSkewMs) {
    wrong.push({
      reason: 'certificate',
      detail: `valid ${describeSpan(leaf)}, its document's chain ${describeSpan(document)}`,
    });
  }
  const here = instanceOf(judge.self.moduleId);
  if (isInstanceNeeded(expect) && document.instanceId !== here) {
    wrong.push({ reason: 'instance', detail: `needs ${here}, it is on another` });
  }
  const peer = { leaf, document, address, expect };
  const trusted = trust(peer, judge);
  wrong.push(...trusted.wrong);
  if (wrong.length > 0 || trusted.release === undefined) throw refusal(wrong);
  return { ...peer, release: trusted.release };
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
  times: TimeSpan,
  judge: Judge,
): Promise<JudgedProof> {
  const { self, view, limits } = judge;
  const { leaf } = peer;
  const { incarnation } = proof.claims;
  // Everything from the own view; the sender's incarnation alone is its to say.
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
  const wrong = [
    ...claimMismatches(proof.claims, expected),
    ...helloMismatches(hello, leaf),
    ...incarnationMismatch(leaf, incarnation, judge),
    ...keyPolicyMismatch(hello, peer, judge),
    ...signatureMismatch(proof, leaf, digest),
  ];
  const document = await verified(proof.document, judge);
  const time = judgeTime(document.timestampMs, times, limits);
  wrong.push(
    ...bindingMismatches(document, leaf.spki, digest, 'proof'),
    ...siblingMismatches(document, peer.document),
    ...time.wrong,
  );
  if (wrong.length > 0) throw refusal(wrong, { skewMs: time.skewMs });
  return { hello, incarnation, skewMs: time.skewMs, context: expected.context };
}

/**
 * Judges an open connection again by what is known now.
 *
 * @returns Everything for which the peer would be refused now; empty if it may stay.
 */
export function judgeAgain(peer: JudgedPeer, proof: JudgedProof, judge: Judge): readonly Mismatch[] {
  const { leaf } = peer;
  const wrong = [...trust(peer, judge).wrong, ...incarnationMismatch(leaf, proof.incarnation, judge)];
  if (judge.clock.nowMs() >= leaf.notAfterMs) {
    wrong.push({ reason: 'certificate', detail: `its leaf ended ${isoTime(leaf.notAfterMs)}` });
  }
  if (!equalBytes(proof.context, judge.view.context()))
    wrong.push({ reason: 'context', detail: 'the context changed' });
  return wrong;
}

/**
 * Judges a document that the own attester made just now, so that a process whose clock, chain or instance its peers
 * would refuse learns it first.
 *
 * @throws KmsError `ATTESTATION_INVALID` if it does not verify or is not about this process.
 */
export async function judgeOwn(
  document: Uint8Array,
  { self, view, clock, limits, chains }: Judge,
): Promise<VerifiedDocument> {
  const own = await verifyLiveDocument(document, {
    anchor: view.anchor,
    nowMs: clock.nowMs(),
    maxAgeMs: limits.maxProofAgeMs,
    skewMs: limits.maxSkewMs,
    cache: chains,
  });
  if (own.moduleId !== self.moduleId) {
    throw new KmsError('ATTESTATION_INVALID', 'the own document names another module than this process was told');
  }
  if (self.role === 'engine' && !isSame(own.pcrs.get(INSTANCE_PCR), instanceRegister(own.instanceId))) {
    throw new KmsError('ATTESTATION_INVALID', 'PCR4 of the own document is not the instance of its module id');
  }
  return own;
}

/** What depends on the view and is asked again whenever the view changes: party, charter, instance, release. */
function trust(peer: Omit<JudgedPeer, 'release'>, { view }: Judge): { release: string | undefined; wrong: Mismatch[] } {
  const { leaf, document, address, expect } = peer;
  const wrong: Mismatch[] = [];
  const party = view.party(leaf.party);
  if (party === undefined) wrong.push({ reason: 'party', detail: `party ${leaf.party} is not in the context` });
  if (leaf.role === 'engine' && party !== undefined) {
    const mismatch = address && addressMismatch(address, party, expect.service);
    if (mismatch) wrong.push(mismatch);
    wrong.push(...registerMismatch(document, CHARTER_PCR, party.pcr16, 'charter'));
    wrong.push(...registerMismatch(document, INSTANCE_PCR, instanceRegister(document.instanceId), 'instance'));
  }
  const measured = judgeMeasurement(leaf, document, view.measurements());
  return { release: measured.release, wrong: [...wrong, ...measured.wrong] };
}

function judgeMeasurement(
  { role }: LeafClaims,
  document: VerifiedDocument,
  releases: ReturnType<Judge['view']['measurements']>,
): { release: string | undefined; wrong: readonly Mismatch[] } {
  const platform = role === 'engine' ? 'enclave' : 'nitro-tpm';
  if (document.platform !== platform) {
    const detail = `${role} needs a document of platform ${platform}, it has one of ${document.platform}`;
    return { release: undefined, wrong: [{ reason: 'role', detail }] };
  }
  const allowed = releases.filter((entry) => entry.role === role && entry.platform === platform);
  const { matched, mismatches, unusable } = matchMeasurements(document, allowed);
  if (matched !== undefined) return { release: matched.release, wrong: [] };
  const details = [
    ...pcrFaults(document.platform, document.pcrs),
    ...mismatches.map(
      ({ release, pcr, expected, actual }) => `PCR${pcr} of ${release} is ${expected}, it has ${actual ?? 'none'}`,
    ),
    ...unusable.map(({ release, reason }) => `${release} trusts nobody: ${reason}`),
  ];
  if (allowed.length === 0) details.push(`no release is trusted for ${role}`);
  return { release: undefined, wrong: details.map((detail) => ({ reason: 'measurement', detail })) };
}

async function verified(document: Uint8Array, { view, clock, chains }: Judge): Promise<VerifiedDocument> {
  const nowMs = clock.nowMs();
  const options = { nowMs, maxAgeMs: MAX_LEAF_DOCUMENT_AGE_MS, skewMs: VERIFIER_SKEW_MS, cache: chains };
  try {
    const result = await verifyLiveDocument(document, { anchor: view.anchor, ...options });
    if (nowMs < result.notAfterMs) return result;
    throw new KmsError('ATTESTATION_INVALID', `its chain ended ${isoTime(result.notAfterMs)}`);
  } catch (error) {
    if (isKmsError(error))
      throw refuse('document', `${error.message} (this clock says ${isoTime(nowMs)})`, error.facts);
    throw error;
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
  if (!isSame(document.publicKey, spki)) wrong.push({ reason, detail: 'its document binds another key than the leaf' });
  if (!isSame(document.userData, digest)) wrong.push({ reason, detail: 'its document was made for something else' });
  if (document.nonce !== undefined) wrong.push({ reason, detail: 'its document answers a nonce' });
  return wrong;
}

function signatureMismatch({ meshSignature }: Proof, leaf: LeafClaims, digest: Uint8Array): readonly Mismatch[] {
  const key = leaf.identityCertificate?.key;
  const ok = key === undefined ? meshSignature.length === 0 : verifyMeshSignature(key, digest, meshSignature);
  return ok ? [] : [{ reason: 'proof', detail: 'the mesh key did not sign this connection' }];
}

/** Incarnations are counted by engines, in their vaults; a parent has none, and neither has an engine without a vault. */
function incarnationMismatch(leaf: LeafClaims, incarnation: number, { view }: Judge): readonly Mismatch[] {
  const { role, party, identityCertificate } = leaf;
  if (role !== 'engine' || identityCertificate === undefined) return [];
  const least = view.party(party)?.minIncarnation ?? Number.POSITIVE_INFINITY;
  if (incarnation >= least) return [];
  return [{ reason: 'incarnation', detail: `needs at least ${least}, it has ${incarnation}` }];
}

/**
 * Between parties: whoever could use another party's root key in a way that governance has not seen is no peer. An open
 * connection stays when governance names another policy, for the engine then seals under the new key and starts again.
 */
function keyPolicyMismatch(hello: Hello, { leaf, expect }: JudgedPeer, { view }: Judge): readonly Mismatch[] {
  const needed = expect.service === 'engine-data' ? view.party(leaf.party)?.keyPolicyHash : undefined;
  if (needed === undefined || equalBytes(needed, hello.keyPolicyHash)) return [];
  const detail = `its root key needs the policy ${toHex(needed)}, it has ${toHex(hello.keyPolicyHash)}`;
  return [{ reason: 'key-policy', detail }];
}

function registerMismatch(
  document: VerifiedDocument,
  pcr: number,
  expected: Uint8Array,
  reason: 'charter' | 'instance',
): readonly Mismatch[] {
  const actual = document.pcrs.get(pcr);
  if (isSame(actual, expected)) return [];
  return [{ reason, detail: `PCR${pcr} needs ${toHex(expected)}, it has ${actual ? toHex(actual) : 'none'}` }];
}

function readHello(bytes: Uint8Array): Hello {
  try {
    return decodeHello(bytes);
  } catch (error) {
    if (isKmsError(error)) throw refuse('malformed', error.message);
    throw error;
  }
}

const isSame = (a: Uint8Array | undefined, b: Uint8Array): boolean => a !== undefined && equalBytes(a, b);
