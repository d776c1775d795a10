/**
 * The beginning of every interactive protocol: a fresh nonce of each party, and a session id that hashes them all.
 *
 * So no run ever has the id of another one: a redo, a restart or another set of parties is a new session, and nothing that
 * is derived from its id repeats. Spec: threshold protocols, section 3.5 (f).
 */
import { equalBytes } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import type { RandomSource } from '../../../common/random.ts';
import { protocolHash } from '../hash.ts';
import { packParts } from '../parts.ts';
import type { Session, SessionNetwork } from '../session.ts';
import { reliableBroadcast } from './reliable-broadcast.ts';

/** What is run, for what. All parties must give the same. */
export interface SessionPurpose {
  /** Which protocol: `prss-setup`, `keygen`, … */
  readonly kind: string;
  /** Request id, and the attempt if there are several. */
  readonly id: Uint8Array;
  readonly context: Uint8Array;
  readonly epoch: Uint8Array;
  /** Digest of who the parties are, in the order of their roles. */
  readonly partySet: Uint8Array;
}

const NONCE_BYTES = 32;

/**
 * Opens a session, synchronous, for one run of a protocol. One reliable broadcast.
 *
 * @throws KmsError `ABORTED` when the nonce that the others heard of this party is not its own.
 */
export async function beginSession(
  network: SessionNetwork,
  purpose: SessionPurpose,
  random: RandomSource,
  signal: AbortSignal,
): Promise<Session> {
  const greeting = network.open(sessionId(purpose, 'greeting', []), 'sync', signal);
  try {
    const mine = random(NONCE_BYTES);
    const nonces = await reliableBroadcast(greeting, Uint8Array.from(mine), NONCE_BYTES);
    for (const [party, nonce] of nonces) {
      if (nonce.byteLength !== NONCE_BYTES) greeting.exclude(party, 'a nonce of another size');
    }
    const heard = nonces.get(greeting.me);
    if (!heard || !equalBytes(heard, mine))
      throw new KmsError('ABORTED', 'the others heard another nonce of this party');
    const all = greeting.parties.map((party) => (greeting.corrupt.has(party) ? undefined : nonces.get(party)));
    const session = network.open(sessionId(purpose, 'session', all), 'sync', signal);
    for (const party of greeting.corrupt) session.exclude(party, 'has sent no nonce');
    return session;
  } finally {
    greeting.end();
  }
}

function sessionId(
  { kind, id, context, epoch, partySet }: SessionPurpose,
  step: 'greeting' | 'session',
  nonces: readonly (Uint8Array | undefined)[],
): Uint8Array {
  const names = [step, kind].map((text) => new TextEncoder().encode(text));
  return protocolHash('SESSN_ID', packParts([...names, id, context, epoch, partySet, packParts(nonces)]));
}
