/**
 * What the engine knows of governance, kept in its vault: record, release sets and proposals, none of which ever goes
 * back. Everything in it is public and signed; what comes from the parent is believed for its signatures alone.
 *
 * Format: docs/formats/governance.md; place: docs/formats/private-objects.md.
 */
import type { KeyObject } from 'node:crypto';
import {
  type Charter,
  GovernanceBook,
  type GovernanceOffer,
  type OfferOutcome,
} from '../../attestation/governance/index.ts';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import type { PrivateVault } from '../vault/private-vault.ts';

/** What a memory is opened with. */
export interface GovernanceMemoryOptions {
  readonly vault: PrivateVault;
  readonly charter: Charter;
  /** Governance key that approves by itself; developer mode alone has one. */
  readonly localKey?: KeyObject | undefined;
  /** Writes nothing before {@link GovernanceMemory.mayWrite}: what is taken until then is durable from then on. */
  readonly holdWrites?: boolean | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** See the file comment. */
export interface GovernanceMemory {
  readonly book: GovernanceBook;
  /**
   * Takes a signed object from anybody and resolves once what it changed is durable, if it may be written yet.
   *
   * @throws KmsError as {@link GovernanceBook.offer}.
   */
  offer(offer: GovernanceOffer): Promise<OfferOutcome>;
  /**
   * Requires governance's approval, and keeps one that the local key gives.
   *
   * @throws KmsError `APPROVAL_MISSING` naming the digest of the proposal that is to be signed.
   */
  requireApproval(...change: Parameters<GovernanceBook['requireApproval']>): Promise<void>;
  /** Ends `holdWrites`: writes what was taken. Resolves once that is durable. */
  mayWrite(): Promise<void>;
  /** Stops the clockwork and resolves once everything is durable. */
  close(): Promise<void>;
}

const PATH = ['Governance', SIGNING_KEY_ID] as const;
/** How late a release set may come into force. */
const TICK_MS = 1_000;

/**
 * Opens the memory of a vault, an empty one if it has none.
 *
 * @throws KmsError `STATE_INVALID` if it is damaged or of another charter.
 */
export async function openGovernanceMemory(options: GovernanceMemoryOptions): Promise<GovernanceMemory> {
  const { vault, charter, localKey, clock, log } = options;
  const stored = (await vault.has(PATH)) ? await vault.read(PATH, (content) => content.slice()) : undefined;
  const book = new GovernanceBook({ charter, localKey }, stored);
  let durable: Promise<void> = Promise.resolve();
  let dirty = false;
  let isHeld = options.holdWrites ?? false;
  const save = async (): Promise<void> => {
    if (!dirty || isHeld) return;
    dirty = false;
    await vault.put(PATH, book.serialise(), { replace: true });
  };
  const write = (): void => {
    // After what is being written; whoever needs it durable awaits `durable` and hears of a failure there.
    durable = durable.catch(() => undefined).then(save);
    durable.catch((err: unknown) => {
      dirty = true;
      log.error({ event: 'governance.not-kept', err });
    });
  };
  book.onChange(() => {
    dirty = true;
    write();
  });
  const timer = setInterval(() => {
    if (book.tick(clock.nowMs())) log.info({ event: 'governance.releases', version: book.versions.releases });
  }, TICK_MS);
  timer.unref();
  return {
    book,
    offer: async (offer) => {
      const outcome = book.offer(offer, clock.nowMs());
      await durable;
      if (outcome !== 'known') log.info({ event: 'governance.taken', kind: offer.kind, outcome, ...book.versions });
      return outcome;
    },
    requireApproval: async (kind, digest) => {
      book.requireApproval(kind, digest);
      await durable;
    },
    mayWrite: async () => {
      isHeld = false;
      write();
      await durable;
    },
    close: async () => {
      clearInterval(timer);
      await durable.catch(() => undefined);
    },
  };
}

/**
 * Offers what the node's files hold. What is older than the vault's memory is told to the log and changes nothing;
 * a node without any record has nobody to trust and does not start.
 *
 * @throws KmsError `STATE_INVALID` if neither memory nor files hold a record and a release set.
 */
export async function offerFiles(
  memory: GovernanceMemory,
  files: readonly GovernanceOffer[],
  log: Logger,
): Promise<void> {
  const { book } = memory;
  const faults: string[] = [];
  for (const file of files) {
    try {
      await memory.offer(file);
    } catch (err) {
      if (!isKmsError(err)) throw err;
      log.warn({ event: 'governance.refused', kind: file.kind, err });
      faults.push(`${file.kind}: ${err.message}`);
    }
  }
  const missing = [...(book.record ? [] : ['governed record']), ...(book.releases ? [] : ['release set'])];
  if (missing.length === 0) return;
  const why = faults.length === 0 ? '' : ` (${faults.join('; ')})`;
  throw new KmsError('STATE_INVALID', `no ${missing.join(' and no ')} is in force${why}`);
}
