/**
 * Keeps the newest state of the engine's vault, as the engine tells it, in a file: a memory outside of all storage. After a
 * restore there is nothing to remember but what the engine says next.
 */
import { type KeptHeadConfig, removeKeptHead, writeKeptHead } from '../../../attestation/node/kept-head.ts';
import { equalBytes } from '../../../common/bytes.ts';
import type { Logger } from '../../../common/log.ts';
import type { GovernanceState } from '../../../proto/gen/engine_pb.js';

/** See the file comment. */
export interface VaultMemory {
  /** Takes what an engine says of its vault; of one in clear, or that waits for its restore, there is nothing to keep. */
  take(state: Pick<GovernanceState, 'vaultSequence' | 'vaultDigest'>): void;
  /** Forgets: the vault was restored, which its operator has decided. Durable once this returns. */
  forget(): Promise<void>;
  /** Resolves once everything is written. */
  close(): Promise<void>;
}

/** Opens the memory of a node. */
export function openVaultMemory(config: KeptHeadConfig, log: Pick<Logger, 'error'>): VaultMemory {
  let kept: Uint8Array = new Uint8Array();
  let turn: Promise<void> = Promise.resolve();
  return {
    take: ({ vaultSequence, vaultDigest }) => {
      if (vaultSequence === 0n || equalBytes(vaultDigest, kept)) return;
      kept = vaultDigest;
      const point = { sequence: Number(vaultSequence), digest: vaultDigest };
      turn = turn
        .then(() => writeKeptHead(config, point))
        .catch((err: unknown) => {
          kept = new Uint8Array();
          log.error({ event: 'vault.head-not-kept', err });
        });
    },
    forget: async () => {
      const removed = turn.then(() => removeKeptHead(config));
      turn = removed.catch(() => undefined);
      await removed;
      kept = new Uint8Array();
    },
    close: () => turn,
  };
}
