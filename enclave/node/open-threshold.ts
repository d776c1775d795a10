/**
 * Opens what only a party of a quorum has: the network to the other engines, contexts and epochs, and shares of keys.
 *
 * Shares and mask keys stay in native memory behind handles.
 */
import { systemRandom } from '../../common/random.ts';
import * as native from '../../native/engine/index.ts';
import { openContexts } from '../contexts/open-contexts.ts';
import type { EngineOptions, ThresholdOptions } from '../engine-options.ts';
import { GenerationQueue } from '../fhe/generation-queue.ts';
import { Durations } from '../fhe/progress.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import { checkKeys } from '../keys/key-checks.ts';
import { ShareCatalogue } from '../keys/share-catalogue.ts';
import { thresholdKeys } from '../keys/threshold-keys.ts';
import type { EngineMesh } from '../mesh/engine-mesh.ts';
import { openStart } from '../start/open-start.ts';
import { OPEN_GATE } from '../start/start-gate.ts';
import { vaultStatus } from '../start/vault-calls.ts';
import { FIRST_DURATIONS, type NodeWork } from './node-work.ts';
import type { CommonParts } from './open-centralized.ts';
import { thresholdNode } from './threshold-node.ts';

/** What a party of a quorum is opened with. */
export interface ThresholdParts extends CommonParts {
  readonly governance: GovernanceMemory;
  readonly mesh: EngineMesh;
}

/**
 * See the file comment. The making of the default epoch goes on after this has returned.
 *
 * @param opened - Takes what closes it again.
 * @throws KmsError `STATE_INVALID` naming what in the vault or the governed record cannot be used; what the network's
 *   transport throws.
 */
export async function openThreshold(
  options: EngineOptions,
  threshold: ThresholdOptions,
  parts: ThresholdParts,
  opened: (() => Promise<void> | void)[],
): Promise<NodeWork> {
  const { clock, log, policy, developerMode, insecureOperations, testParameters, treatV0ExtraDataAsEmpty } = options;
  const { vault, sealed, identity, signer, governance, mesh, incarnation } = parts;
  const { party } = options.attestation.charter;
  const reader = { fromBytes: native.KeyShares.fromBytes, developerKeys: developerMode, party };
  const catalogue = await ShareCatalogue.load(vault, reader);
  opened.push(() => catalogue.dispose());
  const random = systemRandom;
  const network = await threshold.network({ mesh, governance, random, clock, log });
  opened.push(() => network.close());
  const start =
    sealed &&
    (await openStart({
      head: sealed.head,
      key: identity.key,
      governance,
      mesh,
      network,
      incarnation,
      epoch: () => contexts.epochs().at(-1)?.epochId,
      random,
      clock,
      log,
    }));
  if (start) opened.push(() => start.close());
  const gate = start?.gate ?? OPEN_GATE;
  const { makeDefaultEpoch, roundTimeoutMs, masksOf, publicFiles } = threshold;
  const contexts = await openContexts({
    vault,
    governance,
    network,
    open: native.openDecryption,
    incarnation,
    random,
    clock,
    log,
    roundTimeoutMs,
    makeDefaultEpoch,
    masksOf,
    gate,
  });
  opened.push(() => contexts.close());
  start?.begin();
  contexts.onEpochDestroyed((epochId) => catalogue.forgetEpoch(epochId));
  const checks = checkKeys({ catalogue, contexts, gate, native, log });
  opened.push(() => checks.close());
  const key = thresholdKeys({ catalogue, contexts, native, nodeKey: identity.key, publicFiles });
  const queue = options.queue ?? new GenerationQueue({ clock, log });
  const durations = new Durations(FIRST_DURATIONS);
  const mode = { insecureOperations, testParameters };
  const keychain = vault.keychainName;
  return thresholdNode({
    party,
    start,
    vault: vaultStatus({ party, incarnation, keychain, sealed, start }),
    contexts,
    checks,
    network,
    decryption: { key, signer: signer.inBatches(), policy, treatV0ExtraDataAsEmpty, hashCiphertext: native.blake3 },
    generation: { native, catalogue, contexts, signer, policy, queue, durations, clock, ...mode },
  });
}
