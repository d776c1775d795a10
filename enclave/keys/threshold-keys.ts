/**
 * Finds the key of a decryption: this party's shares, the mask keys of the epoch, and what small ciphertexts need.
 *
 * Shares and masks stay in native memory behind the two functions that are handed out. Squashing keys are public; they
 * are loaded at first need, and only from files whose digests this node has signed.
 */
import { KmsError } from '../../common/errors.ts';
import type * as Native from '../../native/engine/index.ts';
import type { CiphertextItem, NodeKey, PartialInput } from '../../native/engine/index.ts';
import { idBytes } from '../../wire/ids.ts';
import type { Contexts, Epoch } from '../contexts/contexts.ts';
import type { QuorumDecryptionDeps, ThresholdKey } from '../threshold/quorum-decryption.ts';
import type { PublicFiles } from './public-files.ts';
import type { HeldShares, ShareCatalogue } from './share-catalogue.ts';
import { SquashKeyLoader } from './squash-keys.ts';

/** What finding keys needs. */
export interface ThresholdKeysDeps {
  readonly catalogue: ShareCatalogue;
  readonly contexts: Pick<Contexts, 'epoch'>;
  readonly native: Pick<typeof Native, 'partialDecrypt' | 'userShares' | 'loadSquashKeys'>;
  readonly nodeKey: NodeKey;
  /** Undefined if this node keeps no public objects. */
  readonly publicFiles: PublicFiles | undefined;
}

/** Formats whose ciphertexts must be squashed: 0 SmallCompressed, 1 SmallExpanded. */
const LAST_SMALL_FORMAT = 1;

/** A key as it was handed out, good for as long as the epoch's masks and engines are these. */
interface Found {
  readonly epoch: Epoch;
  readonly key: ThresholdKey;
}

/**
 * Returns the finder. It throws `NOT_FOUND` naming what is unknown: context, epoch, or key; and `STATE_INVALID` for shares
 * that were dealt to other parties than those of the context.
 */
export function thresholdKeys(deps: ThresholdKeysDeps): QuorumDecryptionDeps['key'] {
  const { catalogue, contexts } = deps;
  const loader = new SquashKeyLoader(deps);
  const found = new Map<HeldShares, Found>();
  catalogue.onForgotten((held) => {
    found.delete(held);
    loader.forget(held);
  });
  return ({ contextId, epochId, keyId }) => {
    const epoch = contexts.epoch(contextId, epochId);
    const held = catalogue.shares(epochId, keyId);
    const known = found.get(held);
    if (known?.epoch.masks === epoch.masks && known.epoch.quorum === epoch.quorum) return known.key;
    requireSameParties(held, epoch);
    const key = makeKey(deps, loader, held, epoch);
    found.set(held, { epoch, key });
    return key;
  };
}

function makeKey(
  { native, nodeKey }: ThresholdKeysDeps,
  loader: SquashKeyLoader,
  held: HeldShares,
  { contextId, epochId, context, masks, quorum }: Epoch,
): ThresholdKey {
  const { shares, metadata } = held;
  const names = { contextId: idBytes(contextId), epochId: idBytes(epochId), keyId: idBytes(metadata.keyId) };
  const big = (items: readonly CiphertextItem[]): PartialInput => ({ shares, masks, ...names, items });
  /** Large ciphertexts, which are nearly all, take no turn of the event loop on their way. */
  const withInput = <T>(items: readonly CiphertextItem[], use: (input: PartialInput) => Promise<T>): Promise<T> =>
    items.every(({ format }) => format > LAST_SMALL_FORMAT)
      ? use(big(items))
      : loader.load(held).then((squash) => use({ ...big(items), squash }));
  return {
    party: context.party,
    t: context.t,
    quorum,
    partialDecrypt: (items) => withInput(items, (input) => native.partialDecrypt(input)),
    userShares: (items, recipient) =>
      withInput(items, (input) => native.userShares({ ...input, ...recipient, nodeKey })),
  };
}

function requireSameParties({ shares, metadata, epochId }: HeldShares, { context }: Epoch): void {
  const dealt = { n: shares.n, t: shares.t, party: shares.party };
  const wanted = { n: context.nodes.length, t: context.t, party: context.party };
  if (dealt.n === wanted.n && dealt.t === wanted.t && dealt.party === wanted.party) return;
  const text = (to: typeof dealt) => `party ${to.party} of ${to.n} with threshold ${to.t}`;
  const message = `this node's shares of the key are those of ${text(dealt)}; the context has ${text(wanted)}`;
  throw new KmsError('STATE_INVALID', message, { keyId: metadata.keyId, epochId });
}
