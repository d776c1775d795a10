/**
 * The set-up of an epoch's mask keys among the engines of a context, over the mesh.
 *
 * Its outcome is secret: the caller wipes it. Spec: threshold protocols, sections 2.7 and 3.5 (f).
 */
import { createHash } from 'node:crypto';
import { encodeCanonical } from '../../attestation/cbor.ts';
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { RandomSource } from '../../common/random.ts';
import { idBytes, type RequestId } from '../../wire/ids.ts';
import { meshNetwork } from '../mpc/mesh-session.ts';
import { nativeArithmetic } from '../mpc/native-arithmetic.ts';
import { beginSession } from '../mpc/protocols/begin-session.ts';
import { type PrssKeys, setUpPrss } from '../mpc/protocols/prss-setup.ts';
import type { Fault, Session } from '../mpc/session.ts';
import type { PeerNetwork } from '../peers/peer-network.ts';
import type { Context } from './contexts.ts';

/** What sessions of a context run on. */
export interface SessionSource {
  readonly network: Pick<PeerNetwork, 'links'>;
  readonly random: RandomSource;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn'>;
  readonly roundTimeoutMs: number;
}

/** What a session is for. */
export interface SessionWork {
  readonly kind: string;
  /** The request, and whatever tells this run from others of it. */
  readonly id: Uint8Array;
  readonly epochId: RequestId;
}

/** Only hashed, never signed: it stands in no table of signatures. */
const PARTY_SET_LABEL = 'arca-party-set';
const VERSION = 1;

/** Returns the digest of who the parties of a context are, by which engines notice that they mean others. */
export function partySetDigest({ contextId, t, nodes }: Context): Uint8Array {
  const parties = nodes.map(({ party, address }) => [party, address]);
  const preimage = encodeCanonical([PARTY_SET_LABEL, VERSION, idBytes(contextId), t, parties]);
  return new Uint8Array(createHash('sha256').update(preimage).digest());
}

/**
 * Opens a session among all parties of a context that this node is part of, with fresh nonces of all. Who does something
 * wrong in it, or is not there, is named in the log.
 *
 * @throws KmsError as {@link beginSession}.
 */
export async function openSession(
  { network, random, clock, log, roundTimeoutMs }: SessionSource,
  context: Context,
  { kind, id, epochId }: SessionWork,
  signal: AbortSignal,
): Promise<Session> {
  const { party: me, t, nodes } = context;
  const told = new Set<number>();
  const onFault = ({ party, what }: Fault): void => {
    // Once a party: the first fault leads to the others, and none of them may fill the log.
    if (party === me || told.has(party)) return;
    told.add(party);
    log.warn({ event: 'session.fault', kind, epochId, party, what }, `party ${party} in a common protocol: ${what}`);
  };
  const sessions = meshNetwork({ me, n: nodes.length, t, links: network.links, clock, roundTimeoutMs, onFault });
  const purpose = {
    kind,
    id,
    context: idBytes(context.contextId),
    epoch: idBytes(epochId),
    partySet: partySetDigest(context),
  };
  return await beginSession(sessions, purpose, random, signal);
}

/**
 * Runs the set-up in a session and ends it. Liars could be left out of it, but a party without keys of the epoch could have
 * no part in what is done under it: so all have to take part to the end.
 *
 * @returns The keys, which the caller disposes of.
 * @throws KmsError `ABORTED`, `TASK_FAILED` as the protocol does, and `ABORTED` naming who did not take part.
 */
export async function setUpInSession(session: Session): Promise<PrssKeys> {
  try {
    // A key is a hash of a ring element: 256 uniform bits are as many as it has.
    const prss = await setUpPrss(session, nativeArithmetic(64));
    const missing = [...session.corrupt].sort((a, b) => a - b);
    if (missing.length === 0) return prss;
    prss[Symbol.dispose]();
    throw new KmsError('ABORTED', `not all parties took part in the set-up: ${missing.join(', ')} did not`);
  } finally {
    session.end();
  }
}
