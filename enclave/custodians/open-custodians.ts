/**
 * Opens what an engine that serves its vault has to do with custodians: their contexts, and recoveries that bring back what the
 * vault has lost. A node whose backups are sealed otherwise has none, and says so.
 */
import type { Attester } from '../../attestation/attester/attester.ts';
import { type Charter, charterDigest } from '../../attestation/governance/index.ts';
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import { systemRandom } from '../../common/random.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import type { EngineMethod } from '../../wire/frames.ts';
import type { SealingKey } from '../backup/open-backup.ts';
import type { RestoreDesk, RestoreOrder } from '../backup/restore-desk.ts';
import { isWritten } from '../backup/restore-plan.ts';
import type { RunningBackup } from '../backup/running-backup.ts';
import type { CallHandler } from '../call.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import type { IdentityObject } from '../identity/identity-objects.ts';
import { type BackupKey, CUSTODIANS, custodianKeyring } from '../keychain/custodians.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import type { PrivateVault } from '../vault/private-vault.ts';
import type { CustodianBackup, RestoreOutcome } from './custodian-backup.ts';
import { custodianCalls, withoutCustodians } from './custodian-calls.ts';
import { CustodianOffice } from './custodian-office.ts';
import { deleteBelow } from './delete-below.ts';
import { CustodianRecovery } from './recovery.ts';

/** What custodians are opened with. */
export interface CustodianParts {
  /** Undefined: the node has no backup vault. */
  readonly backup: RunningBackup | undefined;
  readonly vault: PrivateVault;
  readonly key: NodeKey;
  readonly governance: GovernanceMemory;
  readonly attester: Attester;
  readonly charter: Charter;
  readonly clock: Clock;
  readonly log: Logger;
}

/** See the file comment. */
export interface Custodians {
  readonly operations: Readonly<Partial<Record<EngineMethod, CallHandler>>>;
  /** Recovery material of all contexts, as public objects. */
  objects(): readonly IdentityObject[];
}

/** Opens them. @throws KmsError `STATE_INVALID` for a damaged book of custodian contexts. */
export async function openCustodians(parts: CustodianParts): Promise<Custodians> {
  const { backup, attester, charter, log } = parts;
  if (backup === undefined || backup.opened.key !== undefined) {
    return { operations: withoutCustodians(backup?.opened.key?.keychain), objects: () => [] };
  }
  const { network, party } = charter;
  const digest = charterDigest(charter);
  const custodianBackup = backupOf(backup);
  const { vault, key, governance, clock } = parts;
  const node = { vault, key, governance, clock, log };
  const identity = { charterDigest: digest, party, random: systemRandom };
  const office = await CustodianOffice.open({ ...node, ...identity, backup: custodianBackup });
  const recovery = new CustodianRecovery({
    source: async () => office.recoverySource(),
    backup: custodianBackup,
    attester,
    network,
    charterDigest: digest,
    onOpened: (contextId) => office.spend(contextId),
    log,
  });
  return {
    operations: custodianCalls({ office, recovery, attester }),
    objects: () => office.materials().map(({ contextId: id, material: content }) => ({ ...MATERIAL, id, content })),
  };
}

const MATERIAL = { type: 'RecoveryMaterial' } as const;

function backupOf(backup: RunningBackup): CustodianBackup {
  const { storage } = backup.opened;
  return {
    storage,
    use: (key) => backup.use(key && sealingKey(key)),
    settled: async () => {
      if (backup.key() !== undefined) await backup.settled();
    },
    forget: (contextId) => deleteBelow(storage, [contextId]),
    restore: (contextId, keyring) => restoreFrom(backup.desk, contextId, keyring),
  };
}

/** Restores what lies in a context's folder. */
export async function restoreFrom(
  desk: RestoreDesk,
  folder: string,
  keyring: DataKeyring,
  beforeKey?: RestoreOrder['beforeKey'],
): Promise<RestoreOutcome> {
  const { objects } = await desk.run({ folder, keyring, plan: false, beforeKey });
  const restored = objects.filter(isWritten).length;
  return { restored, kept: objects.length - restored };
}

function sealingKey(key: BackupKey): SealingKey {
  return { folder: key.contextId, keychain: CUSTODIANS, keyring: async () => custodianKeyring(() => key) };
}
