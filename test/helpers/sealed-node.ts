/** A node in the test's own process whose vault is sealed, with a backup of it: a whole engine over storages that a test may spoil. */
import { writeNodeFile } from '../../attestation/node/node-files.ts';
import type { OpenedBackup } from '../../enclave/backup/open-backup.ts';
import type { EngineOptions } from '../../enclave/engine-options.ts';
import { clearKeyring } from '../../enclave/seal/clear-keyring.ts';
import { sealedVault } from '../../enclave/vault/sealed-vault.ts';
import type { Storage } from '../../storage/storage.ts';
import type { Teardown } from './temp-dir.ts';
import { type TestEngine, testEngine } from './test-engine.ts';
import { testTrust } from './test-trust.ts';

/** Where its vaults lie. */
export interface SealedNode {
  /** Of record, release set and socket. */
  readonly folder: string;
  readonly vault: Storage;
  /** Sealed by custodians unless it says otherwise; none if absent. */
  readonly backup?: (Pick<OpenedBackup, 'storage'> & Partial<OpenedBackup>) | undefined;
  /** What its Core has kept of the vault. */
  readonly keptHead?: EngineOptions['keptHead'];
}

/** Starts it. */
export async function startSealedNode(
  t: Teardown,
  { folder, vault, backup, keptHead }: SealedNode,
): Promise<TestEngine> {
  const trust = await testTrust(folder);
  const { record_path: record, releases_path: releases } = trust.config.attestation;
  const { nsm } = await trust.attester({ role: 'engine' });
  const keep: NonNullable<EngineOptions['attestation']['localGovernance']>['keep'] = (kind, signed) =>
    writeNodeFile(kind === 'record' ? record : releases, signed);
  return await testEngine(t, {
    folder,
    openVault: sealedVault({
      storage: vault,
      needsFence: false,
      hasBackup: backup !== undefined,
      rootKey: async () => ({ keyring: clearKeyring(), policyHash: undefined, wrapsForAnyone: false }),
      sleep: async () => undefined,
    }),
    openBackup: backup && (async () => ({ key: undefined, needsFence: false, close: () => undefined, ...backup })),
    keptHead,
    attestation: { ...(await trust.files()), nsm, localGovernance: { key: trust.governanceKey, keep } },
  });
}
