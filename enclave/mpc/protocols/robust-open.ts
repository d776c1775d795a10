/**
 * Robust opening of sharings: one round, right whatever up to t parties send, and it names those whose shares were wrong.
 *
 * Shares are sent in clear to authenticated, attested peers; what is opened is no secret of theirs any more. The same in
 * both modes: a value is accepted once `degree + t + 1` shares lie on one polynomial, of which `degree + 1` are honest.
 * Spec: threshold protocols, section 2.3.
 */
import { KmsError } from '../../../common/errors.ts';
import { type Arithmetic, decodeExactly, type RingVector } from '../arithmetic.ts';
import type { Session } from '../session.ts';

/**
 * Opens a vector of sharings to every party. n(n - 1) messages; at most t + 1 attempts to decode.
 *
 * Finishes as soon as the shares that have come decode, so silent and lying parties cost nothing but their share. Liars
 * among the shares used are noted in the session.
 *
 * @param share - This party's shares, which stay its own.
 * @param degree - Of the sharings; needs degree + 2t < n.
 * @throws KmsError `TASK_FAILED` if the round ends before enough shares came.
 */
export async function robustOpen<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  share: V,
  degree: number = session.t,
): Promise<V> {
  const round = session.takeRounds(1);
  session.sendToAll(round, arithmetic.encode(share));
  return collect(session, arithmetic, round, share, degree);
}

/**
 * Opens to each party a vector of its own. Nobody learns what the others learn.
 *
 * @param shareFor - This party's shares of what a party is to learn; all parties agree on the lengths.
 * @returns What this party was to learn.
 * @throws KmsError `TASK_FAILED` if the round ends before enough shares came.
 */
export async function robustOpenToEach<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  shareFor: (party: number) => V,
  degree: number = session.t,
): Promise<V> {
  const round = session.takeRounds(1);
  for (const to of session.parties) {
    if (to !== session.me) session.send(to, round, arithmetic.encode(shareFor(to)));
  }
  return collect(session, arithmetic, round, shareFor(session.me), degree);
}

async function collect<V extends RingVector>(
  session: Session,
  arithmetic: Arithmetic<V>,
  round: number,
  own: V,
  degree: number,
): Promise<V> {
  const { me, n, t } = session;
  const shares = new Map([[me, own]]);
  const opened = await tryOpen();
  if (opened) return opened;
  try {
    for await (const { from, body } of session.receive(round)) {
      const share = decodeExactly(arithmetic, body, own.length);
      body.fill(0);
      if (!share) {
        session.note(from, `no share in round ${round}`);
        continue;
      }
      shares.set(from, share);
      const value = await tryOpen();
      if (value) return value;
    }
  } finally {
    shares.delete(me); // the caller's
    for (const share of shares.values()) share.dispose();
  }
  throw new KmsError('TASK_FAILED', 'too few shares to open', { have: shares.size + 1, need: degree + t + 1 });

  async function tryOpen(): Promise<V | undefined> {
    const spare = shares.size - (degree + t + 1);
    if (spare < 0) return undefined;
    const decoded = await arithmetic.open({ degree, n, maxErrors: Math.min(t, spare), shares });
    for (const party of decoded?.liars ?? []) session.note(party, `wrong share in round ${round}`);
    return decoded?.value;
  }
}
