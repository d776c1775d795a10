/**
 * What a node says of itself: `GetKeyMaterialAvailability`, `GetHealthStatus`, `BandwidthBenchmark`.
 * Spec: kms-service 1.6.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import {
  EmptySchema,
  HealthStatusResponseSchema,
  KeyMaterialAvailabilityResponseSchema,
  NodeType,
} from '../../../proto/gen/kms_pb.js';
import { decodeControl } from './decode.ts';
import { engineAway } from './decryptions.ts';
import type { RpcDeps } from './deps.ts';
import type { KeyMaterial } from './key-material.ts';
import type { Rpc } from './method.ts';

/** What these RPCs need beside the common things. */
export interface NodeStatusDeps extends RpcDeps {
  readonly material: KeyMaterial;
}

/** `GetKeyMaterialAvailability`. Preprocessings are listed by threshold nodes alone. */
export function keyMaterialAvailabilityRpc(deps: NodeStatusDeps): Rpc {
  const { engine, material, storageInfo, threshold } = deps;
  return {
    operation: 'key_material_availability',
    async handle(body) {
      decodeControl(EmptySchema, body);
      if (engine.info() === undefined) throw engineAway(engine.reason);
      const response = create(KeyMaterialAvailabilityResponseSchema, {
        fheKeyIds: material.keyIds(),
        crsIds: material.crsIds(),
        preprocessingIds: threshold ? preprocessingIds(deps) : [],
        storageInfo,
      });
      return toBinary(KeyMaterialAvailabilityResponseSchema, response);
    },
  };
}

/** Ids of preprocessings that a key generation may still use up, sorted. */
export function preprocessingIds({ store }: Pick<RpcDeps, 'store'>): string[] {
  return [...store.entries('preproc')]
    .filter(({ state, consumedBy }) => state === 'done' && consumedBy === undefined)
    .map(({ id }) => id)
    .sort();
}

/** `GetHealthStatus`: a centralized node has no peers. Answers while the engine is away, too. */
export function healthStatusRpc({ material, storageInfo }: NodeStatusDeps): Rpc {
  return {
    operation: 'health_status',
    async handle(body) {
      decodeControl(EmptySchema, body);
      const response = create(HealthStatusResponseSchema, {
        myFheKeyIds: material.keyIds(),
        myCrsIds: material.crsIds(),
        myStorageInfo: storageInfo,
        nodeType: NodeType.CENTRALIZED,
      });
      return toBinary(HealthStatusResponseSchema, response);
    },
  };
}

/** `BandwidthBenchmark`: there is nobody to measure against. */
export const bandwidthBenchmarkRpc: Rpc = {
  operation: 'bandwidth_benchmark',
  handle: async () => {
    throw new KmsError('UNIMPLEMENTED', 'a centralized node has no peers');
  },
};
