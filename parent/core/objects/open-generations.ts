/**
 * Generations over the engine client and public storage. The rules stand in generations.ts.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import { EngineStatusSchema } from '../../../proto/gen/engine_pb.js';
import { CrsGenResultSchema, KeyGenResultSchema } from '../../../proto/gen/kms_pb.js';
import type { Storage } from '../../../storage/storage.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { PublicDataType } from '../../../wire/public-data.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';
import { expectedObjects } from './expected-objects.ts';
import type { GenerationOutcome, GenerationRun, Generations } from './generations.ts';
import { openGenerationSink } from './object-sink.ts';
import type { PublicObjects } from './public-objects.ts';
import { promoteStaged, removeStaged } from './staged-objects.ts';

/** What {@link openGenerations} needs. */
export interface GenerationsDeps {
  readonly engine: EngineClient;
  readonly storage: Storage;
  readonly objects: PublicObjects;
  readonly log: Logger;
}

type GenerationKind = 'keygen' | 'crsgen';

/** A commit is one small private object, written and synced. */
const COMMIT_LOOKS = 20;
const COMMIT_LOOK_MS = 50;

const OBJECT_TYPES: Readonly<Record<GenerationKind, readonly PublicDataType[]>> = {
  keygen: ['ServerKey', 'PublicKey', 'CompressedXofKeySet', 'DecompressionKey'],
  crsgen: ['CRS'],
};

/** Opens the generations of one node. */
export function openGenerations(deps: GenerationsDeps): Generations {
  const { engine } = deps;
  return {
    run: (generation) => run(deps, generation),
    settle: async (kind, id) => {
      if (engine.state !== 'connected') throw new KmsError('UNAVAILABLE', 'the engine is down');
      return await settle(deps, kind, id);
    },
  };
}

async function run(
  deps: GenerationsDeps,
  { method, id, body, signal, onProgress }: GenerationRun,
): Promise<Uint8Array> {
  const { engine, objects, storage } = deps;
  const sink = openGenerationSink(storage, objects, id);
  try {
    const result = await engine.call(method, body, { bulk: true, sink, signal, onProgress });
    await describeAgain(deps, id);
    return result;
  } catch (error) {
    if (isKmsError(error, 'UNAVAILABLE') && error.facts.reason === 'engine stopped') {
      const outcome = await settleOnReturn(deps, method === ENGINE_METHOD.crsGen ? 'crsgen' : 'keygen', id);
      if (outcome.state === 'done') return outcome.result;
      throw new KmsError(signal?.aborted ? 'ABORTED' : 'TASK_FAILED', outcome.reason);
    }
    await sink.discard();
    throw error;
  }
}

/**
 * Asks the engine once it is back: nobody else knows whether it had committed. If this process stops before that, the
 * wait rejects, the request stays unfinished and the next start settles it.
 */
async function settleOnReturn(deps: GenerationsDeps, kind: GenerationKind, id: string): Promise<GenerationOutcome> {
  for (;;) {
    await deps.engine.whenConnected();
    try {
      return await settle(deps, kind, id);
    } catch (error) {
      if (!isKmsError(error, 'UNAVAILABLE')) throw error; // it went away again
    }
  }
}

/** Puts the last objects in place and has the engine describe itself, so that what was just made may be used. */
async function describeAgain({ engine, objects, storage, log }: GenerationsDeps, id: string): Promise<void> {
  try {
    await promoteStaged(storage, objects, id);
    objects.expect(expectedObjects(await engine.refreshInfo()));
  } catch (error) {
    // The generation is committed all the same; the next connection makes up for it.
    log.warn({ event: 'generation.follow_up_failed', id, err: error });
  }
}

async function settle(
  { engine, objects, storage, log }: GenerationsDeps,
  kind: GenerationKind,
  id: string,
): Promise<GenerationOutcome> {
  const result = committedResult(engine, kind, id) ?? (await lateResult(engine, kind, id));
  if (result) {
    await promoteStaged(storage, objects, id);
    return { state: 'done', result };
  }
  await removeStaged(storage, id);
  for (const type of OBJECT_TYPES[kind]) {
    if (await objects.remove(type, id)) log.info({ event: 'public.orphan_removed', type, id });
  }
  return { state: 'failed', reason: 'engine stopped before the generation was complete' };
}

/**
 * Waits out the commit of a generation whose Core went away in the middle of it: the engine goes on writing for some
 * milliseconds. One that has not come to its commit by then was aborted when its connection closed and never will.
 */
async function lateResult(engine: EngineClient, kind: GenerationKind, id: string): Promise<Uint8Array | undefined> {
  for (let attempts = 0; attempts < COMMIT_LOOKS; attempts++) {
    const status = fromBinary(EngineStatusSchema, await engine.call(ENGINE_METHOD.status, new Uint8Array()));
    await engine.refreshInfo();
    const result = committedResult(engine, kind, id);
    if (result || !status.generating.includes(id)) return result;
    await delay(COMMIT_LOOK_MS);
  }
  return undefined;
}

function committedResult(engine: EngineClient, kind: GenerationKind, id: string): Uint8Array | undefined {
  const info = engine.info();
  if (kind === 'crsgen') {
    const result = info?.crs.find(({ crsId }) => crsId === id)?.result;
    return result && toBinary(CrsGenResultSchema, result);
  }
  const result = info?.keys.find(({ keyId }) => keyId === id)?.result;
  return result && toBinary(KeyGenResultSchema, result);
}
