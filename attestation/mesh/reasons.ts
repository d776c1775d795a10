/**
 * Why a peer is refused. The reason in full stays in the own log; over the wire goes its number alone, so that a
 * stranger learns nothing about releases or parties. The numbers are wire format: docs/security/mesh.md.
 */
import { type ErrorCode, type Fact, KmsError } from '../../common/errors.ts';

/** Numbers of verdicts; 0 means accepted. */
export const MESH_REASONS = {
  /** Message or protocol version that this side does not speak. */
  version: 1,
  /** Bytes that break a format or a bound. */
  malformed: 2,
  /** No leaf certificate, more than one, or one out of its validity. */
  certificate: 3,
  /** A role that does not belong on this connection. */
  role: 4,
  /** A party that the view does not name, or not the one that was called. */
  party: 5,
  /** Another network. */
  network: 6,
  /** An identity certificate or mesh signature that does not hold, or another address. */
  identity: 7,
  /** An attestation document whose chain or signature does not verify under this anchor. */
  document: 8,
  /** Measurements that belong to no trusted release. */
  measurement: 9,
  /** A PCR16 that is not the party's charter. */
  charter: 10,
  /** Not the other half of this instance. */
  instance: 11,
  /** A proof that was not made for this very connection. */
  proof: 12,
  /** Another context. */
  context: 13,
  /** An incarnation that another one has replaced. */
  incarnation: 14,
  /** Clocks more than 60 s apart, or a proof older than that. */
  clock: 15,
  /** No room for another connection. */
  busy: 16,
  /** The handshake took too long. */
  deadline: 17,
  /** This side's own attester failed. */
  unavailable: 18,
  /** A resumed TLS session. */
  resumed: 19,
  /** A root key under another policy than governance has named. */
  'key-policy': 20,
} as const;

/** A name out of {@link MESH_REASONS}. */
export type MeshReason = keyof typeof MESH_REASONS;

/** One thing that is wrong with a peer. */
export interface Mismatch {
  readonly reason: MeshReason;
  /** For people: what was expected and what was met. Holds no text that the peer chose. */
  readonly detail: string;
}

const CODES: Readonly<Partial<Record<MeshReason, ErrorCode>>> = {
  version: 'ATTESTATION_INVALID',
  malformed: 'ATTESTATION_INVALID',
  certificate: 'ATTESTATION_INVALID',
  document: 'ATTESTATION_INVALID',
  proof: 'ATTESTATION_INVALID',
  busy: 'RESOURCE_EXHAUSTED',
  deadline: 'DEADLINE_EXCEEDED',
  unavailable: 'UNAVAILABLE',
};

/**
 * Returns the error that refuses a peer for all of the given mismatches. Its code is that of the first; the fact
 * `reasons` lists all names, `refusedBy` says which side refused.
 */
export function refusal(mismatches: readonly Mismatch[], facts: Readonly<Record<string, Fact>> = {}): KmsError {
  const reasons = [...new Set(mismatches.map(({ reason }) => reason))];
  const code = (reasons[0] && CODES[reasons[0]]) ?? 'ATTESTATION_REJECTED';
  const text = mismatches.map(({ reason, detail }) => `${reason}: ${detail}`).join('; ');
  return new KmsError(code, `mesh peer refused: ${text}`, { refusedBy: 'us', ...facts, reasons: reasons.join(',') });
}

/** Returns the error that refuses a peer for one thing. */
export const refuse = (reason: MeshReason, detail: string, facts: Readonly<Record<string, Fact>> = {}): KmsError =>
  refusal([{ reason, detail }], facts);

/**
 * Returns the error for a peer that was gone before the handshake was done, killed perhaps: nothing has been found wrong
 * with it, so there is no reason to name.
 */
export const peerLeft = (cause?: unknown): KmsError =>
  new KmsError('UNAVAILABLE', 'the mesh peer went away during the handshake', {}, cause);

/** Returns the error of a connection that the peer refused with these numbers; unknown ones are kept as numbers. */
export function refusedByPeer(codes: readonly number[]): KmsError {
  const names = codes.map((code) => reasonOf(code) ?? `reason ${code}`);
  return new KmsError('ATTESTATION_REJECTED', `the mesh peer refused us: ${names.join(', ')} (its log says more)`, {
    refusedBy: 'peer',
    reasons: names.join(','),
  });
}

/** Returns the numbers of the reasons that a {@link refusal} names, or those of an unexpected failure. */
export function reasonCodes(error: unknown): number[] {
  const named = error instanceof KmsError ? error.facts.reasons : undefined;
  const codes = typeof named === 'string' ? named.split(',').flatMap(codeOf) : [];
  return codes.length > 0 ? codes : [MESH_REASONS.unavailable];
}

const isReason = (name: string): name is MeshReason => Object.hasOwn(MESH_REASONS, name);
const codeOf = (name: string): number[] => (isReason(name) ? [MESH_REASONS[name]] : []);
const reasonOf = (code: number): string | undefined =>
  Object.entries(MESH_REASONS).find(([, value]) => value === code)?.[0];

/** Returns a time as people read it, whatever number it is. */
export const isoTime = (ms: number): string =>
  Math.abs(ms) < 8.64e15 ? new Date(ms).toISOString() : 'outside of all calendars';

/** Returns a validity as people read it. */
export const describeSpan = (span: { readonly notBeforeMs: number; readonly notAfterMs: number }): string =>
  `${isoTime(span.notBeforeMs)} to ${isoTime(span.notAfterMs)}`;
