/** Opens what only a centralized node has: the catalogue of whole keys, and its operations. */
import { KmsError } from '../../common/errors.ts';
import * as native from '../../native/engine/index.ts';
import type { EngineOptions } from '../engine-options.ts';
import { GenerationQueue } from '../fhe/generation-queue.ts';
import { Durations } from '../fhe/progress.ts';
import type { NodeIdentity } from '../identity/node-identity.ts';
import type { AnswerSigner } from '../sign/answer-signer.ts';
import { vaultStatus } from '../start/vault-calls.ts';
import { Catalogue } from '../vault/catalogue.ts';
import type { SealedVault } from '../vault/open-vault.ts';
import type { PrivateVault } from '../vault/private-vault.ts';
import { centralizedNode } from './centralized-node.ts';
import { FIRST_DURATIONS, type NodeWork } from './node-work.ts';

/** What both kinds of nodes are opened with. */
export interface CommonParts {
  readonly vault: PrivateVault;
  /** Of a sealed vault: its manifest and what seals. */
  readonly sealed: SealedVault | undefined;
  /** How often the engine has been started. */
  readonly incarnation: number;
  readonly identity: NodeIdentity;
  readonly signer: AnswerSigner;
}

/**
 * See the file comment.
 *
 * @param opened - Takes what closes it again.
 * @throws KmsError `STATE_INVALID` naming the private object that cannot be used.
 */
export async function openCentralized(
  options: EngineOptions,
  { vault, sealed, incarnation, identity, signer }: CommonParts,
  opened: (() => Promise<void> | void)[],
): Promise<NodeWork> {
  const { clock, log, policy, developerMode, insecureOperations, testParameters, treatV0ExtraDataAsEmpty } = options;
  await refuseShares(vault);
  const keyReader = { fromBytes: native.FheKey.fromBytes, developerKeys: developerMode };
  const catalogue = await Catalogue.load(vault, keyReader);
  opened.push(() => catalogue.dispose());
  const provenance = developerMode ? ('developer' as const) : ('whole' as const);
  const queue = options.queue ?? new GenerationQueue({ clock, log });
  const durations = new Durations(FIRST_DURATIONS);
  const mode = { insecureOperations, testParameters, provenance };
  const { party } = options.attestation.charter;
  const keychain = vault.keychainName;
  return centralizedNode({
    vault: vaultStatus({ party, incarnation, keychain, sealed, start: undefined }),
    decryption: { native, nodeKey: identity.key, catalogue, signer, policy, treatV0ExtraDataAsEmpty },
    generation: { native, catalogue, signer, policy, queue, durations, clock, ...mode },
  });
}

/** Shares are of no use to one node alone: its configuration is not the one it was made with. */
async function refuseShares(vault: PrivateVault): Promise<void> {
  const found = [
    ...(await vault.list('FheKeyInfo')).map((path) => path.join('/')),
    ...(await vault.listNode('EpochData')).map((id) => `EpochData/${id}`),
  ];
  if (found.length === 0) return;
  const message = `the private vault is that of a party of a quorum, it holds ${found.join(', ')}`;
  throw new KmsError('STATE_INVALID', `${message}: configure [threshold], or use another vault`);
}
