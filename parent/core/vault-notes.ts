/**
 * What operators should know of the vaults of a node that serves: a backup that is behind, a root key that does not answer.
 * Asked of the engine when somebody looks; an engine that is away says nothing.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { type BackupStatus, EngineStatusSchema, VaultStatusSchema } from '../../proto/gen/engine_pb.js';
import { ENGINE_METHOD, type EngineMethod } from '../../wire/frames.ts';
import type { EngineClient } from './engine-client/engine-client.ts';

const TIMEOUT_MS = 2_000;
const NOTHING = new Uint8Array(0);

/** Returns what reads the notes. */
export function vaultNotes(engine: Pick<EngineClient, 'call' | 'state'>): () => Promise<readonly string[]> {
  const ask = async (method: EngineMethod): Promise<Uint8Array | undefined> => {
    if (engine.state !== 'connected') return undefined;
    return await engine.call(method, NOTHING, { timeoutMs: TIMEOUT_MS }).catch(() => undefined);
  };
  return async () => {
    const [status, vault] = await Promise.all([ask(ENGINE_METHOD.status), ask(ENGINE_METHOD.vaultStatus)]);
    const backup = status && fromBinary(EngineStatusSchema, status).backup;
    const trouble = vault && fromBinary(VaultStatusSchema, vault).keyTrouble;
    return [...(trouble ? [`root key: ${trouble}`] : []), ...(backup ? backupNotes(backup) : [])];
  };
}

function backupNotes({ behind, behindMs, failureCode, failure }: BackupStatus): readonly string[] {
  if (behind === 0n && failureCode === '') return [];
  const lag = `backup: ${behind} objects behind, for ${Math.round(Number(behindMs) / 1000)} s`;
  return [failureCode === '' ? lag : `${lag}; the last attempt failed: ${failure} (${failureCode})`];
}
