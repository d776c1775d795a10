/**
 * A random ring element that nobody can choose or foresee, the same at all parties: every party shares one, the sum is
 * opened. Public from the moment it is opened. Spec: threshold protocols, section 2.6.
 */
import type { Arithmetic, RingVector } from '../arithmetic.ts';
import { Scratch } from '../scratch.ts';
import type { Session } from '../session.ts';
import { robustOpen } from './robust-open.ts';
import { shareVerifiably } from './verifiable-sharing.ts';

/**
 * Returns an encoded random ring element.
 *
 * @throws KmsError `ABORTED` as the broadcast does, `TASK_FAILED` as the opening does.
 */
export async function flipCoin<V extends RingVector>(session: Session, arithmetic: Arithmetic<V>): Promise<Uint8Array> {
  using scratch = new Scratch();
  const mine = scratch.own(arithmetic.random(1));
  const shares = scratch.ownAll(await shareVerifiably(session, arithmetic, mine));
  const sum = shares.reduce((total, share) => scratch.own(arithmetic.add(total, share)));
  return arithmetic.encode(scratch.own(await robustOpen(session, arithmetic, sum)));
}
