/** Servers of one party over one storage: each a sealed vault of its own, under a keyring that needs nobody. */
import type { GovernedRecord } from '../../../attestation/governance/index.ts';
import type { Clock } from '../../../common/clock.ts';
import { createLogger } from '../../../common/log.ts';
import { systemRandom } from '../../../common/random.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import type { LostVault, OpenedVault, VaultParts } from '../../../enclave/vault/open-vault.ts';
import type { PrivatePath } from '../../../enclave/vault/private-vault.ts';
import { type SealedVaultOptions, sealedVault } from '../../../enclave/vault/sealed-vault.ts';
import * as native from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { present } from '../../helpers/present.ts';
import { startTestAttester } from '../../helpers/software-nsm.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';
import { CHARTER, engineEntry, recordBytes, setBytes } from '../attestation/governance/fixtures.ts';

/** A clock that only its test moves. */
export interface SetClock extends Clock {
  nowMs: () => number;
  forward(ms: number): void;
}

export function setClock(startMs = 1_800_000_000_000): SetClock {
  let ms = startMs;
  return {
    nowMs: () => ms,
    monotonicMs: () => ms,
    forward: (by) => {
      ms += by;
    },
  };
}

/** A memory that claims to keep servers on different machines apart, as S3 does. */
export const fencedMemory = (): Storage => ({ ...openMemoryStorage(), fenced: true });

/** One start of an engine. */
export interface Start extends Partial<Omit<SealedVaultOptions, 'storage'>> {
  readonly storage: Storage;
  /** Its instance: two of one instance are one machine. */
  readonly instance?: string;
  readonly clock?: Clock;
  /** 20 bytes that the governed record names as party 1; none if absent. */
  readonly address?: Uint8Array | undefined;
  readonly record?: Partial<GovernedRecord>;
  readonly change?: Partial<VaultParts>;
  readonly onLost?: VaultParts['onLost'];
}

/** Asked for nothing here: the keyring needs no documents. */
const attester = startTestAttester({ role: 'engine' });
const log = createLogger({ name: 'vault', level: 'silent' });

/** Opens the vault of party 1. */
export async function startVault(t: Teardown, start: Start): Promise<OpenedVault | LostVault> {
  const { storage, instance = 'i-1', clock = setClock(), address, record, change, onLost, ...options } = start;
  const parties = [{ party: 1, ...(address && { address }) }];
  const opened = await sealedVault({
    storage,
    needsFence: true,
    hasBackup: false,
    rootKey: async () => ({ keyring: clearKeyring(), policyHash: undefined, wrapsForAnyone: false }),
    sleep: async () => undefined,
    ...options,
  })({
    native,
    nsm: (await attester).nsm,
    document: { moduleId: `${instance}-enc${Buffer.from(systemRandom(4)).toString('hex')}`, pcrs: new Map() },
    charter: CHARTER,
    record: recordBytes(1, { parties, ...record }),
    releases: setBytes(1, [engineEntry('1.0')]),
    onLost: onLost ?? (() => undefined),
    clock,
    log,
    ...change,
  });
  t.teardown(async () => {
    if ('vault' in opened) opened.key?.dispose();
    await opened.close();
  });
  return opened;
}

/** As {@link startVault}, for a vault that has to be there. */
export async function openVault(t: Teardown, start: Start): Promise<OpenedVault> {
  const opened = await startVault(t, start);
  if ('vault' in opened) return opened;
  throw new TypeError('the vault is lost');
}

const EPOCH = parseRequestId('0'.repeat(63).concat('1'));
const KEY = parseRequestId('0'.repeat(63).concat('2'));
export const SHARES: PrivatePath = ['FheKeyInfo', EPOCH, KEY];
export const bytes = (...values: number[]) => Uint8Array.from(values);
export const addressOf = ({ key }: OpenedVault) => present(key).address;
export const read = (vault: OpenedVault, path: PrivatePath) => vault.vault.read(path, (content) => [...content]);

/** Copies what a storage holds. */
export async function copyOf(from: Storage, folder: readonly string[] = [], into = fencedMemory()): Promise<Storage> {
  for (const name of await from.list(folder)) {
    const path = [...folder, name];
    if (await from.has(path)) await into.put(path, await from.get(path));
    else await copyOf(from, path, into);
  }
  return into;
}
