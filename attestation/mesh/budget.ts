/**
 * How much a listener spends on strangers: raw connections that have said nothing, handshakes under way, and slots
 * that belong to parties.
 *
 * Everything before the identity signature is evidence of nothing, so it may be dropped at any time, from the source
 * that holds the most first and there the oldest. After the signature a handshake leaves that crowd and counts
 * against its own party alone: no stranger can use up what a true party needs. Design §4, "Strangers".
 */
import type { Role } from '../role.ts';

/** One handshake's face to the budget, passed to `acceptMesh`. */
export interface HandshakeGate {
  /**
   * Tells that the peer has proven to be this party (identity signature over the leaf key that TLS has proven), or,
   * for a role without a party key, that its chain holds. Call it once, before the expensive chain where possible.
   *
   * @returns What gives the slot back when the connection ends (idempotent), or undefined when this party has as many
   * connections as it may: refuse then with RESOURCE_EXHAUSTED.
   */
  admitParty(party: number, role: Role): (() => void) | undefined;
}
