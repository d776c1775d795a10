/**
 * The link's calls about the private vault: how it stands, and governance's word that the quorum goes on. All of it is
 * public.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { QuorumRestartCallSchema, VaultStatusSchema } from '../../proto/gen/engine_pb.js';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import type { SealedVault } from '../vault/open-vault.ts';
import type { OpenedStart } from './open-start.ts';

/** What {@link vaultStatus} tells of. */
export interface VaultStatusDeps {
  readonly party: number;
  readonly incarnation: number;
  readonly keychain: string;
  readonly sealed:
    | (Pick<SealedVault, 'head' | 'keyPolicyHash'> & {
        readonly sealer?: { readonly keyring: Pick<DataKeyring, 'trouble'> };
      })
    | undefined;
  /** Of an engine whose start others confirm. */
  readonly start: OpenedStart | undefined;
}

/** Answers `vaultStatus`. */
export const vaultStatus =
  ({ party, incarnation, keychain, sealed, start }: VaultStatusDeps): CallHandler =>
  () => {
    const stored = [...(sealed?.head.entries().values() ?? [])].flatMap(({ writing }) => writing ?? []);
    const status = create(VaultStatusSchema, {
      party,
      incarnation: BigInt(incarnation),
      keychain,
      sealed: sealed !== undefined,
      sequence: BigInt(sealed?.head.point?.sequence ?? 0),
      digest: sealed?.head.point?.digest ?? NOTHING,
      objects: BigInt(stored.length),
      bytes: BigInt(stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
      restored: sealed?.head.source !== undefined,
      keyPolicy: sealed?.keyPolicyHash ?? NOTHING,
      keyTrouble: sealed?.sealer?.keyring.trouble?.() ?? '',
      ...(start && { start: startStatus(start) }),
    });
    return toBinary(VaultStatusSchema, status);
  };

/** Answers `quorumRestart`. */
export const quorumRestart =
  (start: Pick<OpenedStart, 'restart'>): CallHandler =>
  async ({ body }) => {
    // The body is a view into the link's frame.
    await start.restart(decodeRequest(QuorumRestartCallSchema, body).restart.slice());
    return NOTHING;
  };

const NOTHING = new Uint8Array(0);

function startStatus(start: OpenedStart) {
  const { phase, reason, acknowledged, needed, refused, restored } = start.report();
  return {
    phase,
    reason,
    acknowledged: [...acknowledged],
    needed: Number.isFinite(needed) ? needed : 0,
    refused: refused.map((refusal) => ({ ...refusal })),
    restored: [...restored],
    record: start.record ?? NOTHING,
    remembered: [...start.remembered()],
    restart: BigInt(start.restartNumber),
  };
}
