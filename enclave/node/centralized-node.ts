/**
 * A centralized node: it holds whole keys and does everything by itself.
 */
import { FheParameter } from '../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import type { CallHandler } from '../call.ts';
import { crsGeneration } from '../fhe/crs-generation.ts';
import type { DecryptionDeps } from '../fhe/decryption-deps.ts';
import type { GenerationDeps } from '../fhe/generation-deps.ts';
import { keyGeneration } from '../fhe/key-generation.ts';
import { preprocessing } from '../fhe/preprocessing.ts';
import { publicDecryption } from '../fhe/public-decryption.ts';
import { userDecryption } from '../fhe/user-decryption.ts';
import { crsGenResult, keyGenResult } from '../sign/results.ts';
import type { NodeWork } from './node-work.ts';

/** Returns what a centralized node does. */
export function centralizedNode({
  vault,
  decryption,
  generation,
}: {
  /** Answers how the vault is. */
  readonly vault: CallHandler;
  readonly decryption: DecryptionDeps;
  readonly generation: GenerationDeps;
}): NodeWork {
  const { catalogue, queue } = generation;
  return {
    operations: {
      [ENGINE_METHOD.vaultStatus]: vault,
      [ENGINE_METHOD.publicDecrypt]: publicDecryption(decryption),
      [ENGINE_METHOD.userDecrypt]: userDecryption(decryption),
      [ENGINE_METHOD.keyGenPreproc]: preprocessing(generation),
      [ENGINE_METHOD.keyGen]: keyGeneration(generation),
      [ENGINE_METHOD.crsGen]: crsGeneration(generation),
    },
    material: () => ({
      keys: catalogue.keys().map(({ epochId, params, metadata, key }) => ({
        keyId: metadata.keyId,
        epochId,
        params: FheParameter[params],
        result: keyGenResult(metadata),
        provenance: key?.provenance ?? '',
      })),
      crs: catalogue.crs().map(({ epochId, metadata }) => ({
        crsId: metadata.crsId,
        epochId,
        result: crsGenResult(metadata),
      })),
    }),
    generating: () => queue.current,
    facts: () => ({ keys: catalogue.keys().length, crs: catalogue.crs().length }),
  };
}
