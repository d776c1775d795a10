/**
 * Seals anew, under the root key that the governed record names, what still lies under the one before it: how a vault moves to
 * the key of a new release. SECRET: contents pass through, in chunks.
 *
 * Object by object, each as one ordinary write: whenever it ends early, what is done stays done and the rest opens as before.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { RewrapReportSchema } from '../../proto/gen/engine_pb.js';
import type { CallHandler } from '../call.ts';
import { RootKeyrings } from '../keychain/root-keyrings.ts';
import { peekHead } from '../seal/peek-head.ts';
import type { SealedVault } from './open-vault.ts';
import { parsePrivatePath } from './private-vault.ts';
import { storedObject } from './stored-object.ts';

/** What came of it. */
export interface Rewrapped {
  /** ARN of the key under which everything lies now. */
  readonly keyId: string;
  /** Objects that were sealed anew. */
  readonly rewrapped: number;
  /** Objects that lay under the key already. */
  readonly kept: number;
}

type Parts = Pick<SealedVault, 'head' | 'store' | 'sealer' | 'storage' | 'owner'>;

/**
 * Seals anew whatever is not under the key in force.
 *
 * @throws KmsError `PRECONDITION_FAILED` for a vault without root keys; `STATE_INVALID` naming the object that does not open;
 *   what the store throws.
 */
export async function rewrapVault(
  { head, store, sealer, storage, owner }: Parts,
  signal?: AbortSignal,
): Promise<Rewrapped> {
  const { keyring } = sealer;
  if (!(keyring instanceof RootKeyrings)) {
    throw new KmsError('PRECONDITION_FAILED', `the keychain ${keyring.name} has no root key to move from`);
  }
  const keyId = keyring.primaryId;
  let rewrapped = 0;
  let kept = 0;
  for (const [name, { writing }] of [...head.entries()]) {
    if (writing === undefined) continue;
    const path = parsePrivatePath(name);
    if (path === undefined) {
      throw new KmsError(
        'STATE_INVALID',
        `${name} is of no kind that this release knows: use the release that wrote it`,
      );
    }
    // Only to pass over what is done: an object that lies about its root opens under none, or is checked when it is used.
    const { wrapped } = (await peekHead(storage, [...path, writing.place])) ?? {};
    if (wrapped?.keyId === keyId) kept++;
    else {
      await store.reseal(storedObject(path, owner), signal);
      rewrapped++;
    }
  }
  return { keyId, rewrapped, kept };
}

/** `rewrapVault` of the link. */
export const rewrapCall =
  (vault: Parts | undefined, log: Logger): CallHandler =>
  async ({ signal }) => {
    if (vault === undefined) throw new KmsError('PRECONDITION_FAILED', 'the private vault of this node is not sealed');
    const done = await rewrapVault(vault, signal);
    log.info({ event: 'vault.rewrapped', ...done });
    return toBinary(RewrapReportSchema, create(RewrapReportSchema, done));
  };
