/**
 * Checks every key set once under its epoch: the quorum opens an encryption of zero that came with the shares.
 *
 * It shows what no packed opening can, that all parties hold shares of one key of bits and mask with the keys of one
 * set-up. A check waits for as long as parties need to come; nothing waits for a check: its outcome is a line of the log,
 * and one that failed is told to operators.
 */
import type { Logger } from '../../common/log.ts';
import type * as Native from '../../native/engine/index.ts';
import { idBytes } from '../../wire/ids.ts';
import type { Contexts } from '../contexts/contexts.ts';
import type { StartGate } from '../start/start-gate.ts';
import { checkEpoch } from '../threshold/epoch-check.ts';
import type { HeldShares, ShareCatalogue } from './share-catalogue.ts';

/** What checking needs. */
export interface KeyCheckDeps {
  readonly catalogue: ShareCatalogue;
  readonly contexts: Pick<Contexts, 'epochs'>;
  /** Nothing is checked before the engine's start is confirmed: a check opens something. */
  readonly gate: Pick<StartGate, 'opened'>;
  readonly native: Pick<typeof Native, 'zeroShares' | 'openZeros'>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** Checks that go on. */
export interface KeyChecks {
  /** Key sets that are held and whose check has failed. */
  failed(): readonly FailedCheck[];
  /** Ends those that still wait. */
  close(): void;
}

/** A key set under an epoch, by their ids. */
export interface FailedCheck {
  readonly keyId: string;
  readonly epochId: string;
}

/** Begins to check all key sets that are held, and from now on each that is added. To be called once epochs are there. */
export function checkKeys({ catalogue, contexts, gate, native, log }: KeyCheckDeps): KeyChecks {
  const underWay = new Map<HeldShares, AbortController>();
  const failed = new Map<HeldShares, FailedCheck>();
  const isOpened = (signal: AbortSignal): Promise<boolean> =>
    gate.opened(signal).then(
      () => true,
      () => false, // ended while it waited
    );

  const check = async (held: HeldShares): Promise<void> => {
    const { epochId, shares, metadata } = held;
    const { keyId } = metadata;
    const epoch = contexts.epochs().find((other) => other.epochId === epochId);
    if (!epoch) {
      log.warn({ event: 'keys.without-epoch', keyId, epochId }, 'the vault has shares of a key whose epoch it lacks');
      return;
    }
    if (!shares.hasZeros) {
      const why =
        'another system made the shares: no encryption of zero came with them, by which parties could check them';
      log.warn({ event: 'quorum.check-left-out', keyId, epochId, provenance: shares.provenance }, why);
      return;
    }
    const { contextId, masks, quorum } = epoch;
    const names = { contextId: idBytes(contextId), epochId: idBytes(epochId), keyId: idBytes(keyId) };
    const ended = new AbortController();
    underWay.set(held, ended);
    const options = {
      ...{ contextId, epochId, keyId },
      sharingId: shares.sharingId,
      provenance: shares.provenance,
      zeroShares: () => native.zeroShares({ shares, masks, ...names }),
      openZeros: native.openZeros,
    };
    if (await isOpened(ended.signal)) {
      const isZero = await checkEpoch(quorum, options, { log, signal: ended.signal });
      if (!isZero && !ended.signal.aborted) failed.set(held, { keyId, epochId });
    }
    underWay.delete(held);
  };
  const end = (held: HeldShares): void => {
    underWay.get(held)?.abort();
    underWay.delete(held);
    failed.delete(held);
  };

  catalogue.onForgotten(end);
  catalogue.onAdded((held) => void check(held)); // says in the log what came of it
  for (const held of catalogue.keys()) void check(held);
  return {
    failed: () => [...failed.values()],
    close: () => {
      for (const held of [...underWay.keys()]) end(held);
    },
  };
}
