/**
 * What can differ between a proof and what this side expects of it, each named for people. The proof's digest decides;
 * these say why it does not fit.
 */
import { equalBytes, toHex } from '../../common/bytes.ts';
import { encodeCanonical } from '../cbor.ts';
import type { VerifiedDocument } from '../document/index.ts';
import { identityToCbor } from './identity.ts';
import type { LeafClaims } from './leaf.ts';
import type { Hello, IdentityCertificate, MeshLimits } from './mesh-context.ts';
import type { ProofClaims } from './proof.ts';
import { isoTime, type Mismatch } from './reasons.ts';

/** Between which moments of the own wall clock something happened. */
export interface TimeSpan {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Compares what the sender says with the own view. */
export function claimMismatches(actual: ProofClaims, expected: ProofClaims): readonly Mismatch[] {
  const wrong: Mismatch[] = [];
  if (actual.role !== expected.role) wrong.push({ reason: 'role', detail: `its leaf says ${expected.role}` });
  if (actual.service !== expected.service) wrong.push({ reason: 'role', detail: `this is ${expected.service}` });
  if (actual.network !== expected.network) wrong.push({ reason: 'network', detail: `needs ${expected.network}` });
  if (!equalBytes(actual.context, expected.context)) {
    const detail = `needs ${toHex(expected.context)}, it has ${toHex(actual.context)}`;
    wrong.push({ reason: 'context', detail });
  }
  if (actual.sender !== expected.sender) {
    wrong.push({ reason: 'party', detail: `its leaf says party ${expected.sender}` });
  }
  if (actual.receiver !== expected.receiver) {
    wrong.push({ reason: 'party', detail: `it wants party ${actual.receiver}, this is ${expected.receiver}` });
  }
  return wrong;
}

/** The identity in the hello is that of the leaf. */
export function helloMismatches(hello: Hello, leaf: LeafClaims): readonly Mismatch[] {
  if (equalBytes(identityBytes(hello.identityCertificate), identityBytes(leaf.identityCertificate))) return [];
  return [{ reason: 'identity', detail: 'hello and leaf name two identities' }];
}

const identityBytes = (certificate: IdentityCertificate | undefined): Uint8Array =>
  encodeCanonical(certificate ? identityToCbor(certificate) : null);

/** Leaf and proof come from the very same module in the same state: a sibling of the same image has another id. */
export function siblingMismatches(proof: VerifiedDocument, leaf: VerifiedDocument): readonly Mismatch[] {
  const wrong: Mismatch[] = [];
  if (proof.moduleId !== leaf.moduleId || proof.platform !== leaf.platform) {
    wrong.push({ reason: 'proof', detail: 'made by another module than the leaf' });
  }
  const [now, then] = [proof.pcrs, leaf.pcrs];
  const differing = [...new Set([...now.keys(), ...then.keys()])].filter((index) => {
    const [a, b] = [now.get(index), then.get(index)];
    return a === undefined || b === undefined || !equalBytes(a, b);
  });
  if (differing.length > 0) {
    const indexes = differing.sort((a, b) => a - b).join(', ');
    wrong.push({ reason: 'proof', detail: `PCR ${indexes} differ between proof and leaf` });
  }
  return wrong;
}

/**
 * Measures the peer's clock by its proof's signed time, and the proof's age.
 *
 * @param span - When it can have been made by the own clock: the clocks differ by at least what lies outside.
 */
export function judgeTime(
  timestampMs: number,
  { fromMs, toMs }: TimeSpan,
  { maxSkewMs, maxProofAgeMs }: MeshLimits,
): { readonly skewMs: number; readonly wrong: readonly Mismatch[] } {
  const skewMs = Math.round(timestampMs - (fromMs + toMs) / 2);
  const wrong: Mismatch[] = [];
  const times = `its clock said ${isoTime(timestampMs)}, this one says ${isoTime(toMs)}`;
  if (timestampMs - toMs > maxSkewMs || fromMs - timestampMs > maxSkewMs) {
    wrong.push({ reason: 'clock', detail: `${times}: more than ${maxSkewMs / 1000} s apart` });
  } else if (toMs - timestampMs > maxProofAgeMs) {
    wrong.push({ reason: 'clock', detail: `${times}: the proof is older than ${maxProofAgeMs / 1000} s` });
  }
  return { skewMs, wrong };
}
