/**
 * Opens a sealed vault on whatever storage: the lease, the root key, the node's key, the manifest, and then the head taken
 * over, which is the start of this engine. SECRET: the node's key, on its way into native memory.
 *
 * Storage may hold whatever its owner likes: nothing of it counts before the node's own key has been found to have signed
 * it, and that key is the one whose address governance named. Format: docs/formats/manifest.md.
 */
import { setTimeout as sleepFor } from 'node:timers/promises';
import { charterDigest } from '../../attestation/governance/index.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import type { Storage } from '../../storage/storage.ts';
import { formatAddress } from '../../wire/addresses.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import type { ManifestOwner, ManifestPoint } from '../seal/manifest.ts';
import { heldByOther, type Lease, takeLease } from './lease.ts';
import { type HeadParts, openHead, type SealedParts } from './open-head.ts';
import type { LostVault, OpenedVault, OpenVault, VaultParts } from './open-vault.ts';
import { type PartyInRecord, partyInRecord } from './party-in-record.ts';
import { PrivateVault } from './private-vault.ts';
import { sealedKeeper } from './sealed-keeper.ts';
import { readVaultState } from './vault-state.ts';
import { watchLease } from './watch-lease.ts';

/** The key under which data keys are wrapped, fit to be used. */
export interface RootKey {
  readonly keyring: DataKeyring;
  /** SHA-384 of its policy; undefined for what has none. */
  readonly policyHash: Uint8Array | undefined;
  /** Whether anybody can wrap data keys under it. */
  readonly wrapsForAnyone: boolean;
}

/** What a sealed vault is made of. */
export interface SealedVaultOptions {
  readonly storage: Storage;
  /** Opens the root key that the record names for this party; the vault closes its keyring. */
  readonly rootKey: (party: PartyInRecord, parts: VaultParts) => Promise<RootKey>;
  /** Production: only storage that keeps servers on different machines apart will do. */
  readonly needsFence: boolean;
  /** Whether there is a backup that a lost vault can be restored from. */
  readonly hasBackup: boolean;
  /** State that an operator wrote down: an older one, or another, does not open. */
  readonly remembered?: ManifestPoint | undefined;
  /** Makes the node's key for a vault that was never used; a new one unless given. */
  readonly firstKey?: HeadParts['firstKey'];
  /** Closes the storage. */
  readonly close?: () => void;
  readonly random?: RandomSource;
  readonly sleep?: (ms: number) => Promise<void>;
}

/** See the file comment. */
export function sealedVault(options: SealedVaultOptions): OpenVault {
  return async (parts) => {
    const closers: (() => Promise<void> | void)[] = [() => options.close?.()];
    const close = async (): Promise<void> => {
      for (const next of closers.splice(0).reverse()) await next();
    };
    try {
      return await open(options, parts, closers, close);
    } catch (error) {
      await close().catch((err: unknown) => parts.log.warn({ event: 'vault.not-closed', err }));
      throw error;
    }
  };
}

/** Of an engine that does not move the head of its vault. */
const UNMOVED = { check: async () => undefined };

async function open(
  options: SealedVaultOptions,
  parts: VaultParts,
  closers: (() => Promise<void> | void)[],
  close: () => Promise<void>,
): Promise<OpenedVault | LostVault> {
  const { storage, random = systemRandom, sleep = async (ms) => void (await sleepFor(ms)) } = options;
  const { charter, clock, document, log } = parts;
  if (options.needsFence && !storage.fenced) {
    const cure = 'use a bucket with conditional writes';
    throw new KmsError('CONFIG_INVALID', `this storage cannot keep two servers of one party apart: ${cure}`);
  }
  const inRecord = partyInRecord(parts);
  const { party } = charter;
  const lease = await takeLease({ storage, party, moduleId: document.moduleId, clock, random, sleep });
  closers.push(() => release(lease, parts));
  const { keyring, policyHash, wrapsForAnyone } = await options.rootKey(inRecord, parts);
  closers.push(() => keyring.close());

  const state = await readVaultState(storage);
  const { address } = inRecord;
  // A key that moves in is no loss: it has to be the one that governance has named.
  if (state.signingKey === undefined && address !== undefined && options.firstKey === undefined) {
    if (!options.hasBackup) throw lostVault(address);
    log.warn({ event: 'vault.lost' }, 'the private vault is gone: this engine waits for its restore');
    // There is no head yet that another server could move: who takes the lease restores.
    closers.push(watchLease({ lease, head: UNMOVED, log }));
    return { lost: { storage, keyring, address }, close };
  }
  if (state.signingKey !== undefined && address === undefined && wrapsForAnyone) throw nobodysKey(party);
  const owner: ManifestOwner = { purpose: 'private-object', charterDigest: charterDigest(charter), party };
  const opened = await openHead(state, {
    parts,
    owner,
    inRecord,
    storage,
    keyring,
    random,
    remembered: options.remembered,
    firstKey: options.firstKey,
  }).catch(async (error: unknown) => {
    throw isKmsError(error, 'ABORTED')
      ? await heldByOther({ storage, party, moduleId: document.moduleId }, error)
      : error;
  });
  if ('putBack' in opened) {
    const { putBack, address: own } = opened;
    log.error({ event: 'vault.put-back', err: putBack.why }, 'this engine waits for the newest vault, or its restore');
    closers.push(watchLease({ lease, head: UNMOVED, log }));
    return { lost: { storage, keyring, address: own, putBack }, close };
  }
  closers.push(watchLease({ lease, head: opened.head, log }));
  return asVault(opened, { storage, owner, policyHash, close });
}

function asVault(
  { head, store, sealer, key, incarnation, found }: SealedParts,
  rest: Pick<SealedVaultOptions, 'storage'> & {
    readonly owner: ManifestOwner;
    readonly policyHash: Uint8Array | undefined;
    readonly close: () => Promise<void>;
  },
): OpenedVault {
  const { storage, owner, policyHash, close } = rest;
  const keeper = sealedKeeper({ name: sealer.keyring.name, head, store, owner });
  return {
    vault: new PrivateVault(keeper),
    key,
    incarnation: async () => incarnation,
    sealed: { head, store, sealer, storage, owner, found, keyPolicyHash: policyHash },
    close,
  };
}

async function release(lease: Lease, { log }: VaultParts): Promise<void> {
  // It ends by itself.
  await lease.release().catch((err: unknown) => log.warn({ event: 'vault.lease-kept', err }));
}

/** Whoever owns the storage could have put a vault of his own there, with a key that he knows. */
function nobodysKey(party: number): KmsError {
  const message = `the private vault holds a key that governance has not named as party ${party}, and anybody can wrap for its root key: empty the vault and start again, or enrol the party first`;
  return new KmsError('STATE_INVALID', message, { fault: 'not-enrolled' });
}

function lostVault(address: Uint8Array): KmsError {
  const known = formatAddress(address);
  const message = `the private vault is empty, and the governed record names ${known} as this party: restore the vault from a backup, or correct bucket and prefix`;
  return new KmsError('STATE_INVALID', message, { address: known });
}
