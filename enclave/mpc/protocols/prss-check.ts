/**
 * Blame for draws that are thrown away: everybody shows what its keys gave, and who lied about it, or about the share it used,
 * is excluded. One broadcast.
 *
 * It takes draws out of {@link PrssDraws.throwAway} alone, so never a mask and never what has hidden a secret.
 * Spec: threshold protocols, section 2.7 (PRSS-Check, PRZS-Check) and 3.5 (b).
 */
import { toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { type Arithmetic, decodeExactly, type RingVector } from '../arithmetic.ts';
import { packParts, unpackParts } from '../parts.ts';
import type { Draw, PrssDraws } from '../prss-draws.ts';
import { Scratch } from '../scratch.ts';
import type { Session } from '../session.ts';
import { broadcast } from './long-broadcast.ts';

/**
 * Throws a draw away and excludes everybody who lied about it. Honest parties exclude the same, and no honest one.
 *
 * @param used - The share that each party claims to have used, as broadcast: alike at all honest parties.
 * @throws KmsError `STATE_INVALID` for a draw that is kept, `ABORTED` as the broadcast does, or when
 * more than t parties lie.
 */
export async function checkThrownAway<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  draws: PrssDraws<V>,
  draw: Draw<V>,
  used: ReadonlyMap<number, Uint8Array>,
): Promise<void> {
  using scratch = new Scratch();
  const { functions } = draws;
  const { sets } = functions;
  const mine = draws.throwAway(draw);
  const maxBytes = 4 + sets.length * (4 + functions.valueBytes(draw.family));
  const published = await broadcast(session, packParts(sets.map((_, set) => mine.get(set))), maxBytes);
  const lists = new Map([...published].map(([party, body]) => [party, unpackParts(body, sets.length)]));
  const values = sets.map((members, set) => {
    const said = new Map(members.map((member) => [member, lists.get(member)?.[set]]));
    const value = saidByMore(session.t, [...said.values()], functions.valueBytes(draw.family));
    if (!value) throw new KmsError('ABORTED', 'a PRSS check failed: more than t parties lie', { set });
    for (const [member, theirs] of said) {
      if (!theirs || toHex(theirs) !== toHex(value)) session.exclude(member, 'showed a wrong PRSS value');
    }
    return value;
  });
  for (const party of session.parties) {
    if (session.corrupt.has(party)) continue;
    const right = scratch.own(functions.share(draw.family, party, (set) => values[set] ?? new Uint8Array()));
    const theirs = decodeExactly(arithmetic, used.get(party), right.length);
    if (theirs) scratch.own(theirs);
    if (!theirs || !arithmetic.equals(theirs, right)) session.exclude(party, 'used a wrong PRSS share');
  }
}

/** The value that more than t members of a set sent, so that one of them is honest. */
function saidByMore(t: number, said: readonly (Uint8Array | undefined)[], sizeBytes: number): Uint8Array | undefined {
  const counts = new Map<string, number>();
  for (const value of said) {
    if (value?.byteLength !== sizeBytes) continue;
    const count = (counts.get(toHex(value)) ?? 0) + 1;
    counts.set(toHex(value), count);
    if (count > t) return value;
  }
  return undefined;
}
