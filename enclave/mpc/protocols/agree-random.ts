/**
 * Randomness that the parties agree on: with abort, for any of them; or robust, out of a shared random element.
 *
 * What comes out is as secret as its use: it is never logged, and callers wipe it. Spec: threshold protocols, section 2.5.
 */
import { equalBytes } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import type { RandomSource } from '../../../common/random.ts';
import { exchange } from '../exchange.ts';
import { protocolHash } from '../hash.ts';
import type { Session } from '../session.ts';
import { commit, OPENING_BYTES, opensTo, placeOf } from './commitment.ts';

const SEED_BYTES = 32;

/**
 * Agrees on 32 random bytes that no party can choose: all commit, open, and compare what came out. Three rounds.
 *
 * One liar can make it fail, and learns the value before others do; nobody can bias a value that is returned.
 *
 * @throws KmsError `ABORTED` when a party is silent, opens wrongly or got something else; facts name it.
 */
export async function agreeRandom(session: Session, random: RandomSource): Promise<Uint8Array> {
  const seed = random(SEED_BYTES);
  const opening = random(OPENING_BYTES);
  const round = session.takeRounds(2);
  const place = (role: number) => placeOf(session, role, round);
  const commitments = await exchange(session, commit(place(session.me), seed, opening), { round });
  const opened = await exchange(session, Uint8Array.of(...seed, ...opening), { round: round + 1 });
  const agreed = new Uint8Array(SEED_BYTES);
  for (const party of session.parties) {
    const commitment = commitments.get(party);
    const said = opened.get(party);
    const theirs = said?.subarray(0, SEED_BYTES);
    if (!commitment || !said || !theirs || !opensTo(commitment, place(party), theirs, said.subarray(SEED_BYTES))) {
      throw new KmsError('ABORTED', 'a party did not open its commitment', { party });
    }
    for (const [index, byte] of theirs.entries()) agreed[index] = (agreed[index] ?? 0) ^ byte;
  }
  const outcome = protocolHash('AGREERND', agreed);
  const confirmed = await exchange(session, outcome);
  for (const party of session.parties) {
    const theirs = confirmed.get(party);
    if (!theirs || !equalBytes(theirs, outcome)) {
      throw new KmsError('ABORTED', 'a party did not confirm the random value', { party });
    }
  }
  return agreed;
}

/**
 * Returns the key that follows from an opened random element: the robust variant, for which the element is opened to those
 * who are to have the key.
 */
export function keyFromElement(encoded: Uint8Array): Uint8Array<ArrayBuffer> {
  return protocolHash('AGREERND', encoded);
}
