/** Hash commitments, bound to who makes them, where and when. Spec: threshold protocols, section 2.5. */
import { timingSafeEqual } from 'node:crypto';
import { le64, protocolHash } from '../hash.ts';
import type { Session } from '../session.ts';

/** Size of an opening: 16 random bytes. */
export const OPENING_BYTES = 16;

/** What a commitment is bound to. */
export interface CommitmentPlace {
  readonly role: number;
  readonly sessionId: Uint8Array;
  readonly round: number;
}

/** Returns the place of a party's commitment that is sent in a round of a session. */
export function placeOf(session: Session, role: number, round: number): CommitmentPlace {
  return { role, round, sessionId: session.id };
}

/** Commits to a message. Hides it while `opening`, {@link OPENING_BYTES} random bytes, is secret. */
export function commit(place: CommitmentPlace, message: Uint8Array, opening: Uint8Array): Uint8Array<ArrayBuffer> {
  return protocolHash('COMMTMNT', le64(place.role), place.sessionId, le64(place.round), message, opening);
}

/** Returns whether a commitment opens to this message. */
export function opensTo(
  commitment: Uint8Array,
  place: CommitmentPlace,
  message: Uint8Array,
  opening: Uint8Array,
): boolean {
  if (commitment.byteLength !== 32 || opening.byteLength !== OPENING_BYTES) return false;
  return timingSafeEqual(commitment, commit(place, message, opening));
}
