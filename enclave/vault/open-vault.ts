/**
 * How an engine comes to its private vault. Which kind of vault it is, the main modules say; the engine opens it once its
 * charter is bound, and before anything else is done.
 */
import type { Nsm } from '../../attestation/attester/attester.ts';
import type { Charter } from '../../attestation/governance/index.ts';
import type { Clock } from '../../common/clock.ts';
import type { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type * as Native from '../../native/engine/index.ts';
import type { Storage } from '../../storage/storage.ts';
import type { ManifestOwner } from '../seal/manifest.ts';
import type { ManifestHead } from '../seal/manifest-head.ts';
import type { Sealer } from '../seal/seal-object.ts';
import type { SealedStore } from '../seal/sealed-store.ts';
import { advanceIncarnation } from './incarnation.ts';
import type { ObjectKeeper } from './object-keeper.ts';
import { PrivateVault } from './private-vault.ts';

/** What a vault is opened with. */
export interface VaultParts {
  readonly native: Pick<typeof Native, 'NodeKey'>;
  /** With PCR16 and all registers locked. */
  readonly nsm: Nsm;
  /** Name of the enclave in its documents; that of its instance stands before `-enc`. */
  readonly moduleId: string;
  readonly charter: Charter;
  /** Governed record with its signatures, as the node's files hold it. */
  readonly record: Uint8Array | undefined;
  /** Told once if another server of this party takes over: this one must stop. */
  readonly onLost: (why: KmsError) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What only a sealed vault has. */
export interface SealedVault {
  readonly head: ManifestHead;
  readonly store: SealedStore;
  readonly sealer: Sealer;
  readonly storage: Storage;
  readonly owner: ManifestOwner;
  /** SHA-384 of the root key's policy; undefined where there is no root key. */
  readonly keyPolicyHash: Uint8Array | undefined;
}

/** A vault that is open. */
export interface OpenedVault {
  readonly vault: PrivateVault;
  /** The node's key, where the vault could not be opened without; the caller disposes of it. */
  readonly key?: Native.NodeKey | undefined;
  /** Counts this start, durably, and returns which one it is. */
  readonly incarnation: () => Promise<number>;
  readonly sealed?: SealedVault | undefined;
  close(): Promise<void>;
}

/** Opens a private vault. @throws KmsError `STATE_INVALID` and what storage and keyring throw. */
export type OpenVault = (parts: VaultParts) => Promise<OpenedVault>;

/** A vault without seals: that of developer mode. */
export function unsealedVault(keeper: ObjectKeeper): OpenVault {
  return async () => {
    const vault = new PrivateVault(keeper);
    return { vault, incarnation: () => advanceIncarnation(vault), close: async () => undefined };
  };
}
