/**
 * What the parties of a quorum do together when one of them alone must not choose: agree on a seed, and see at the end
 * that all have come to the same.
 *
 * The seed is as good as the key that is dealt from it, and every party knows it: developer mode only. Callers wipe it.
 */
import { createHash, createHmac } from 'node:crypto';
import { type CborValue, encodeCanonical } from '../../attestation/cbor.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { idBytes } from '../../wire/ids.ts';
import type { SignedRequest } from '../../wire/validate/common.ts';
import type { Contexts, JointWork } from '../contexts/contexts.ts';
import { nativeArithmetic } from '../mpc/native-arithmetic.ts';
import { keyFromElement } from '../mpc/protocols/agree-random.ts';
import { flipCoin } from '../mpc/protocols/coin-flip.ts';

/** What is dealt. */
export type Dealing = 'insecure-keygen' | 'insecure-crsgen';

/** A request that all parties do together. */
export type DealingWork = Omit<JointWork, 'kind'> & { readonly kind: Dealing };

type Joint = Pick<Contexts, 'joint'>;

/** Only hashed, never signed: it stands in no table of signatures. */
const LABEL = 'arca-dealing';
const VERSION = 1;
const COIN_RING = 128;

/**
 * Names a request by the digest of everything that it means: parties that mean different things do not meet. Signing
 * schemes are not in it, they change no object.
 *
 * @param asked - What is to be made.
 */
export function dealingWork(kind: Dealing, request: SignedRequest, asked: readonly CborValue[]): DealingWork {
  const { requestId: id, contextId, epochId, domain, extraData } = request;
  const { name, version, chainId, verifyingContract, salt } = domain;
  const ids = [id, contextId, epochId].map(idBytes);
  const meaning = [ids, asked, [name, version, chainId, verifyingContract, salt ?? null], extraData];
  return { kind, id, contextId, epochId, digest: sha256(encodeCanonical([LABEL, VERSION, kind, meaning])) };
}

/**
 * Waits for all parties, flips a coin with them, and derives a seed for this work alone.
 *
 * @returns 32 bytes in an ArrayBuffer of their own; the caller wipes them.
 * @throws KmsError as `Contexts.joint` and the coin flip.
 */
export async function agreeOnSeed(
  contexts: Joint,
  work: DealingWork,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const session = await contexts.joint(work, signal);
  try {
    const coin = await flipCoin(session, nativeArithmetic(COIN_RING));
    const key = keyFromElement(coin);
    coin.fill(0);
    const derived = createHmac('sha256', key).update(`${LABEL} ${work.kind}`).update(work.digest).digest();
    key.fill(0);
    const seed = Uint8Array.from(derived);
    derived.fill(0);
    return seed;
  } finally {
    session.end();
  }
}

/**
 * Waits until all parties have come to the same public objects. Before this nothing is kept: so all keep it, or none.
 *
 * @param digests - Of the public objects, in the order of their types.
 * @throws KmsError `ABORTED` if a party has others; as `Contexts.joint`.
 */
export async function agreeOnOutcome(
  contexts: Joint,
  work: DealingWork,
  digests: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<void> {
  const digest = sha256(encodeCanonical([LABEL, VERSION, `${work.kind}-outcome`, work.digest, [...digests]]));
  try {
    const session = await contexts.joint({ ...work, kind: `${work.kind}-outcome`, digest }, signal);
    session.end();
  } catch (error) {
    if (!isKmsError(error, 'ABORTED')) throw error;
    const cure = 'all must run the same release on the same type of CPU';
    const why = `the parties do not confirm the same public objects: ${error.message}; ${cure}`;
    throw new KmsError('ABORTED', why, error.facts, error);
  }
}

function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(data).digest());
}
