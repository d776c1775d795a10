/**
 * How an engine comes to its private vault. Which kind of vault it is, the main modules say; the engine opens it once its
 * charter is bound, and before anything else is done.
 */
import type { Nsm } from '../../attestation/attester/attester.ts';
import type { VerifiedDocument } from '../../attestation/document/index.ts';
import type { Charter } from '../../attestation/governance/index.ts';
import type { Clock } from '../../common/clock.ts';
import type { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type * as Native from '../../native/engine/index.ts';
import type { Storage } from '../../storage/storage.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import type { ManifestOwner } from '../seal/manifest.ts';
import type { ManifestHead } from '../seal/manifest-head.ts';
import type { Sealer } from '../seal/seal-object.ts';
import type { SealedStore } from '../seal/sealed-store.ts';
import { advanceIncarnation } from './incarnation.ts';
import type { ObjectKeeper } from './object-keeper.ts';
import { PrivateVault } from './private-vault.ts';
import type { FoundVault, Recall } from './remembered-vault.ts';

/** What a vault is opened with. */
export interface VaultParts {
  readonly native: Pick<typeof Native, 'NodeKey'>;
  /** With PCR16 and all registers locked. */
  readonly nsm: Nsm;
  /** This engine's own document, verified at start: its registers and its name. */
  readonly document: Pick<VerifiedDocument, 'moduleId' | 'pcrs'>;
  readonly charter: Charter;
  /** Governed record with its signatures, as the node's files hold it. */
  readonly record: Uint8Array | undefined;
  /** Release set with its signatures, likewise. */
  readonly releases: Uint8Array | undefined;
  /** Asks who remembers the vault, before its head is moved; absent: nobody does. */
  readonly recall?: Recall | undefined;
  /** What the vault is to remember from the move of its head on with which a start begins; absent: what it did before. */
  readonly memoryAtStart?: ((memory: Uint8Array, found: FoundVault) => Uint8Array) | undefined;
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
  /** The state in which it was found; absent at a first start. */
  readonly found?: FoundVault | undefined;
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

/**
 * A vault that is gone, or was put back, though the governed record names its node: nothing is made anew, it has to be
 * restored.
 */
export interface LostVault {
  readonly lost: {
    /** Empty, or half restored; or what was put back. */
    readonly storage: Storage;
    /** What seals in it. */
    readonly keyring: DataKeyring;
    /** The party's address in the record, 20 bytes. */
    readonly address: Uint8Array;
    readonly putBack?: PutBack | undefined;
  };
  close(): Promise<void>;
}

/** An older state of a vault, in the place of the newest. */
export interface PutBack {
  /** For people. */
  readonly why: KmsError;
  /** Digest of the state that lies there. */
  readonly digest: Uint8Array;
}

/** Opens a private vault. @throws KmsError `STATE_INVALID` and what storage and keyring throw. */
export type OpenVault = (parts: VaultParts) => Promise<OpenedVault | LostVault>;

/** A vault without seals: that of developer mode. */
export function unsealedVault(keeper: ObjectKeeper): OpenVault {
  return async () => {
    const vault = new PrivateVault(keeper);
    return { vault, incarnation: () => advanceIncarnation(vault), close: async () => undefined };
  };
}
