/**
 * A threshold node: it holds one party's shares and decrypts together with the engines of the other parties.
 */
import { FheParameter } from '../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import type { CallHandler } from '../call.ts';
import { contextCalls } from '../contexts/context-calls.ts';
import type { Contexts } from '../contexts/contexts.ts';
import { thresholdCrsGeneration } from '../keys/crs-generation.ts';
import type { ThresholdGenerationDeps } from '../keys/generation-deps.ts';
import type { KeyChecks } from '../keys/key-checks.ts';
import { thresholdKeyGeneration } from '../keys/key-generation.ts';
import { thresholdPreprocessing } from '../keys/preprocessing.ts';
import type { PeerNetwork } from '../peers/peer-network.ts';
import { crsGenResult, keyGenResult } from '../sign/results.ts';
import type { OpenedStart } from '../start/open-start.ts';
import { awaitsGovernance } from '../start/start-state.ts';
import { quorumRestart } from '../start/vault-calls.ts';
import {
  type QuorumDecryptionDeps,
  quorumPublicDecryption,
  quorumUserDecryption,
} from '../threshold/quorum-decryption.ts';
import type { NodeWork } from './node-work.ts';

/** What a threshold node is made of. */
export interface ThresholdNodeParts {
  /** This node's number, by its charter. */
  readonly party: number;
  /** Of an engine whose start the others confirm. */
  readonly start: OpenedStart | undefined;
  /** Answers how the vault is. */
  readonly vault: CallHandler;
  readonly decryption: QuorumDecryptionDeps;
  readonly generation: ThresholdGenerationDeps;
  readonly contexts: Contexts;
  readonly checks: Pick<KeyChecks, 'failed'>;
  readonly network: PeerNetwork;
}

/** Returns what a threshold node does. */
export function thresholdNode(parts: ThresholdNodeParts): NodeWork {
  const { party, start, vault, decryption, generation, contexts, checks, network } = parts;
  const { catalogue, queue } = generation;
  return {
    operations: {
      [ENGINE_METHOD.vaultStatus]: vault,
      ...(start && { [ENGINE_METHOD.quorumRestart]: quorumRestart(start) }),
      [ENGINE_METHOD.publicDecrypt]: quorumPublicDecryption(decryption),
      [ENGINE_METHOD.userDecrypt]: quorumUserDecryption(decryption),
      [ENGINE_METHOD.keyGenPreproc]: thresholdPreprocessing(generation),
      [ENGINE_METHOD.keyGen]: thresholdKeyGeneration(generation),
      [ENGINE_METHOD.crsGen]: thresholdCrsGeneration(generation),
      ...contextCalls({ contexts, network, party }),
    },
    material: () => ({
      keys: catalogue.keys().map(({ epochId, params, provenance, metadata }) => ({
        keyId: metadata.keyId,
        epochId,
        params: FheParameter[params],
        result: keyGenResult(metadata),
        provenance,
      })),
      crs: catalogue.crs().map(({ epochId, metadata }) => ({
        crsId: metadata.crsId,
        epochId,
        result: crsGenResult(metadata),
      })),
      threshold: {
        party,
        contexts: contexts.list().map(({ contextId, t, nodes, party: own }) => ({
          contextId,
          threshold: t,
          nodes: nodes.map((node) => ({ ...node })),
          party: own,
        })),
        epochs: contexts.epochs().map(({ contextId, epochId }) => ({ contextId, epochId })),
        settled: contexts.settled,
        startReason: start?.report().reason ?? '',
        awaitsGovernance: start !== undefined && awaitsGovernance(start.report().phase),
      },
    }),
    generating: () => queue.current,
    quorum: () => quorumStatus(contexts, checks),
    ledger: network.ledger,
    facts: () => ({
      keys: catalogue.keys().length,
      crs: catalogue.crs().length,
      contexts: contexts.list().length,
      epochs: contexts.epochs().length,
      settled: contexts.settled,
    }),
  };
}

function quorumStatus(contexts: Contexts, checks: Pick<KeyChecks, 'failed'>) {
  const counts = contexts.stats();
  return {
    pending: BigInt(counts.pending),
    remembered: BigInt(counts.remembered),
    keptSharesBytes: BigInt(counts.keptSharesBytes),
    unknown: BigInt(counts.unknown),
    framesSent: BigInt(counts.framesSent),
    bytesSent: BigInt(counts.bytesSent),
    dropped: BigInt(counts.dropped),
    publicDecryptions: BigInt(counts.publicDecryptions),
    userDecryptions: BigInt(counts.userDecryptions),
    masks: counts.masks.map((mask) => ({ ...mask, blocks: BigInt(mask.blocks) })),
    failedChecks: [...checks.failed()],
  };
}
