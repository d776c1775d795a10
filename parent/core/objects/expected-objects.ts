/**
 * Which public objects the engine vouches for, and with which digests: its keys, its CRSs and its identity.
 */
import type { EngineInfo } from '../../../proto/gen/engine_pb.js';
import { startPublicDigest } from './public-digest.ts';
import type { ExpectedObject } from './public-objects.ts';

/** Returns every public object of the engine's description. A key in several epochs has one set of objects. */
export function expectedObjects(info: EngineInfo): ExpectedObject[] {
  const identity = info.identityObjects.map(({ type, id, content }) => {
    return { type, id, digest: startPublicDigest(type).update(content).digest() };
  });
  const keys = info.keys.flatMap(({ keyId, result }) =>
    (result?.keyDigests ?? []).map(({ keyType, digest }) => ({ type: keyType, id: keyId, digest })),
  );
  const crs = info.crs.map(({ crsId, result }) => {
    return { type: 'CRS', id: crsId, digest: result?.crsDigest ?? new Uint8Array() };
  });
  return [...identity, ...keys, ...crs];
}
