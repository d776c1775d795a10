/**
 * Which keys and CRSs the engine holds, as its latest description says: look-ups for the hot path.
 */
import { toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import type { EngineInfo, KeyEntry } from '../../../proto/gen/engine_pb.js';
import { CrsGenResultSchema, KeyGenResultSchema } from '../../../proto/gen/kms_pb.js';
import type { EngineClient } from '../engine-client/engine-client.ts';

/** The engine's keys and CRSs. */
export interface KeyMaterial {
  /** @throws {@link KmsError} `NOT_FOUND` if the engine has no such key set in that epoch. */
  requireKey(keyId: string, epochId: string): void;
  /** Whether the id is that of a key set or of a decompression key. */
  hasKey(keyId: string, epochId: string): boolean;
  hasCrs(crsId: string, epochId: string): boolean;
  /** The encoded result of a key generation that the engine keeps; of the greatest epoch if there are several. */
  keyResult(keyId: string): Uint8Array | undefined;
  /** As {@link keyResult}, for a CRS. */
  crsResult(crsId: string): Uint8Array | undefined;
  /** Ids of the key sets without repetition, sorted. */
  keyIds(): string[];
  crsIds(): string[];
}

interface Index {
  readonly info: EngineInfo | undefined;
  /** `epoch/id`; decompression keys too, which have no secret of their own. */
  readonly keys: ReadonlySet<string>;
  readonly keySets: ReadonlySet<string>;
  readonly crs: ReadonlySet<string>;
}

/** Opens the look-ups over an engine. */
export function openKeyMaterial(engine: EngineClient): KeyMaterial {
  let index = indexOf(undefined);
  const current = (): Index => {
    const info = engine.info();
    if (info !== index.info) index = indexOf(info);
    return index;
  };

  return {
    hasKey: (keyId, epochId) => current().keys.has(`${epochId}/${keyId}`),
    requireKey(keyId, epochId) {
      if (!current().keySets.has(`${epochId}/${keyId}`)) {
        throw new KmsError('NOT_FOUND', 'this node has no such key in that epoch', { keyId, epochId });
      }
    },
    hasCrs: (crsId, epochId) => current().crs.has(`${epochId}/${crsId}`),
    keyResult(keyId) {
      const result = latest(current().info?.keys.filter((key) => key.keyId === keyId) ?? [])?.result;
      return result && toBinary(KeyGenResultSchema, result);
    },
    crsResult(crsId) {
      const result = latest(current().info?.crs.filter((crs) => crs.crsId === crsId) ?? [])?.result;
      return result && toBinary(CrsGenResultSchema, result);
    },
    keyIds: () =>
      unique(
        current()
          .info?.keys.filter(isKeySet)
          .map((key) => key.keyId) ?? [],
      ),
    crsIds: () => unique(current().info?.crs.map((crs) => crs.crsId) ?? []),
  };
}

function indexOf(info: EngineInfo | undefined): Index {
  return {
    info,
    keys: new Set(info?.keys.map(({ epochId, keyId }) => `${epochId}/${keyId}`)),
    keySets: new Set(info?.keys.filter(isKeySet).map(({ epochId, keyId }) => `${epochId}/${keyId}`)),
    crs: new Set(info?.crs.map(({ epochId, crsId }) => `${epochId}/${crsId}`)),
  };
}

function isKeySet({ result }: KeyEntry): boolean {
  return result?.keyDigests.every(({ keyType }) => keyType !== 'DecompressionKey') ?? true;
}

/** Epoch ids are chronological as big-endian numbers, so their hex text is too. */
function latest<E extends { readonly epochId: string }>(entries: readonly E[]): E | undefined {
  return entries.reduce<E | undefined>(
    (best, entry) => (best && best.epochId >= entry.epochId ? best : entry),
    undefined,
  );
}

function unique(ids: readonly string[]): string[] {
  return [...new Set(ids)].sort();
}
